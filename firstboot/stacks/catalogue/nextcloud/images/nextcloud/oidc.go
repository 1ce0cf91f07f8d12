package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	stateCookie = "oidc_state"
	loginLasts  = 10 * time.Minute
)

// provider is one of user_oidc's, as `occ user_oidc:provider` wrote it.
type provider struct {
	ID           int               `json:"id"`
	Identifier   string            `json:"identifier"`
	ClientID     string            `json:"clientId"`
	ClientSecret string            `json:"-"`
	Discovery    string            `json:"discoveryEndpoint"`
	Scope        string            `json:"scope"`
	Settings     map[string]string `json:"settings"`
}

const providerColumns = `SELECT id, identifier, coalesce(client_id, ''), coalesce(client_secret, ''),
	coalesce(discovery_endpoint, ''), scope, settings FROM oc_user_oidc_providers `

func (s *store) providers(ctx context.Context, where string, args ...any) ([]provider, error) {
	rows, err := s.db.Query(ctx, providerColumns+where+" ORDER BY id", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []provider
	for rows.Next() {
		var p provider
		err := rows.Scan(&p.ID, &p.Identifier, &p.ClientID, &p.ClientSecret, &p.Discovery, &p.Scope, &p.Settings)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

func (s *store) firstProvider(ctx context.Context) int {
	all, err := s.providers(ctx, "")
	if err != nil || len(all) == 0 {
		return 0
	}
	return all[0].ID
}

// certificates is what `occ security:certificates:import` wrote.
const certificates = dataDirectory + "/certificates.pem"

// client asks a provider; whom the system trusts, and whom `occ` was told of, vouch for it.
func client() (*http.Client, error) {
	trusted, err := x509.SystemCertPool()
	if err != nil {
		return nil, err
	}
	more, err := os.ReadFile(certificates)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	trusted.AppendCertsFromPEM(more)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: trusted}
	transport.DisableKeepAlives = true
	return &http.Client{Transport: transport, Timeout: 30 * time.Second}, nil
}

// at is the provider as its own document describes it, and how this installation speaks to it.
func (p provider) at(ctx context.Context, r *http.Request) (*oidc.Provider, *oauth2.Config, error) {
	found, err := oidc.NewProvider(ctx, strings.TrimSuffix(p.Discovery, "/.well-known/openid-configuration"))
	if err != nil {
		return nil, nil, fmt.Errorf("asking the provider %s: %w", p.Identifier, err)
	}
	return found, &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, Endpoint: found.Endpoint(),
		RedirectURL: base(r) + "/apps/user_oidc/code", Scopes: strings.Fields(p.Scope),
	}, nil
}

// base is how the outside world calls this installation.
func base(r *http.Request) string {
	protocol, host := os.Getenv("OVERWRITEPROTOCOL"), os.Getenv("OVERWRITEHOST")
	if protocol == "" {
		protocol = "http"
	}
	if host == "" {
		host = r.Host
	}
	return protocol + "://" + host
}

// pending is a log-in that was sent to its provider.
type pending struct {
	Provider        int
	Nonce, Verifier string
}

func (s *site) oidcLogin(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(base(r), "https://") {
		http.Error(w, "You must access this with HTTPS to use OpenID Connect.", http.StatusNotFound)
		return
	}
	id, _ := strconv.Atoi(r.PathValue("provider"))
	found, err := s.providers(r.Context(), "WHERE id = $1", id)
	if err != nil || len(found) == 0 {
		http.Error(w, "There is no such OpenID Connect provider.", http.StatusNotFound)
		return
	}
	asking, err := client()
	if err != nil {
		s.broken(w, err)
		return
	}
	_, config, err := found[0].at(oidc.ClientContext(r.Context(), asking), r)
	if err != nil {
		s.broken(w, err)
		return
	}
	state := oauth2.GenerateVerifier()
	waiting := pending{id, oauth2.GenerateVerifier(), oauth2.GenerateVerifier()}
	kept, err := json.Marshal(waiting)
	if err == nil {
		err = s.cache.Set(r.Context(), "oidc:"+state, kept, loginLasts).Err()
	}
	if err != nil {
		s.broken(w, err)
		return
	}
	http.SetCookie(w, cookie(stateCookie, state, loginLasts))
	there := config.AuthCodeURL(state, oidc.Nonce(waiting.Nonce), oauth2.S256ChallengeOption(waiting.Verifier))
	http.Redirect(w, r, there, http.StatusSeeOther)
}

func (s *site) oidcCode(w http.ResponseWriter, r *http.Request) {
	user, err := s.whom(r)
	if err != nil {
		fmt.Fprintln(os.Stderr, "logging in by OpenID Connect:", err)
		http.Error(w, "Could not log in with the OpenID Connect provider.", http.StatusForbidden)
		return
	}
	http.SetCookie(w, cookie(stateCookie, "", -time.Second))
	s.begin(w, r, user)
}

// whom is the user that the provider vouches for.
func (s *site) whom(r *http.Request) (string, error) {
	ctx, state := r.Context(), r.URL.Query().Get("state")
	if held, err := r.Cookie(stateCookie); err != nil || state == "" || held.Value != state {
		return "", errors.New("the state is not this browser's")
	}
	kept, err := s.cache.GetDel(ctx, "oidc:"+state).Bytes()
	if err != nil {
		return "", errors.New("no log-in is waiting for this state")
	}
	var waiting pending
	if err := json.Unmarshal(kept, &waiting); err != nil {
		return "", err
	}
	if said := r.URL.Query().Get("error"); said != "" {
		return "", fmt.Errorf("the provider said %q", said)
	}
	found, err := s.providers(ctx, "WHERE id = $1", waiting.Provider)
	if err != nil || len(found) == 0 {
		return "", errors.New("the provider is gone")
	}
	asking, err := client()
	if err != nil {
		return "", err
	}
	ctx, p := oidc.ClientContext(ctx, asking), found[0]
	issuer, config, err := p.at(ctx, r)
	if err != nil {
		return "", err
	}
	token, err := config.Exchange(ctx, r.URL.Query().Get("code"), oauth2.VerifierOption(waiting.Verifier))
	if err != nil {
		return "", err
	}
	raw, _ := token.Extra("id_token").(string)
	identity, err := issuer.Verifier(&oidc.Config{ClientID: p.ClientID}).Verify(ctx, raw)
	if err != nil {
		return "", err
	}
	if identity.Nonce != waiting.Nonce {
		return "", errors.New("the nonce is not the one that was sent")
	}
	claims := map[string]any{}
	if err := identity.Claims(&claims); err != nil {
		return "", err
	}
	uid, displayName := p.user(claims)
	if uid == "" {
		return "", errors.New("the token does not say who it is")
	}
	return uid, s.welcome(ctx, uid, displayName)
}

// user maps a token's claims as user_oidc does: a hash with the provider unless --unique-uid=0.
func (p provider) user(claims map[string]any) (uid, displayName string) {
	claim := func(setting, otherwise string) string {
		if name := p.Settings[setting]; name != "" {
			otherwise = name
		}
		value, _ := claims[otherwise].(string)
		return value
	}
	uid, displayName = claim("mapping-uid", "sub"), claim("mapping-display-name", "name")
	if uid != "" && p.Settings["unique-uid"] != "0" {
		uid = fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%d_0_%s", p.ID, uid)))
	}
	return uid, displayName
}
