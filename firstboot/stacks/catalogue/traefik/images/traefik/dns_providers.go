// Package dns stands in for lego's generated list of DNS providers.
package dns

import (
	"fmt"

	"github.com/go-acme/lego/v5/challenge"
	"github.com/go-acme/lego/v5/providers/dns/acmedns"
	"github.com/go-acme/lego/v5/providers/dns/exec"
	"github.com/go-acme/lego/v5/providers/dns/hetzner"
	"github.com/go-acme/lego/v5/providers/dns/httpreq"
)

// NewDNSChallengeProviderByName is the provider of that name.
func NewDNSChallengeProviderByName(name string) (challenge.Provider, error) {
	switch name {
	case "acmedns", "acme-dns":
		return acmedns.NewDNSProvider()
	case "exec":
		return exec.NewDNSProvider()
	case "hetzner":
		return hetzner.NewDNSProvider()
	case "httpreq":
		return httpreq.NewDNSProvider()
	default:
		return nil, fmt.Errorf("this Traefik is built without the DNS provider %q", name)
	}
}
