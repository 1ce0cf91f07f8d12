# Lays out what Traefik's go.mod cannot have from the module proxy, which go.mod here puts in place of it:
#
# * `ext`, a nested module of Traefik's that is not published: two empty types.
# * lego, whose list of DNS providers imports modules that are not published: the same module with a shorter list.
# * the fork of go-http-auth, not published: its origin, with the two functions that the fork adds.
#
# Both modules come from the pins in `upstream`, which Go checks what it downloads against.

cd upstream
go mod download github.com/abbot/go-http-auth github.com/go-acme/lego/v5
take() {
    cp -R "$(go list -m -f '{{.Dir}}' "$1")" "../$2"
    chmod -R u+w "../$2"
}
take github.com/abbot/go-http-auth http-auth
take github.com/go-acme/lego/v5 lego
cd ..

echo 'module github.com/abbot/go-http-auth' > http-auth/go.mod
mv http_auth.go http-auth/sovereign.go
mv dns_providers.go lego/providers/dns/zz_gen_dns_providers.go
