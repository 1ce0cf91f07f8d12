//! What is asked of the front door, and what has to come of it.

use super::ask::{Ask, From};
use super::scene::Scene;
use Then::{Goes, GoesBelow, Has, HasNot, Saw, SawNot, Status};
use anyhow::{Result, ensure};

/// A question, and what has to come of it.
pub(super) struct Row {
    pub(super) what: &'static str,
    ask: fn() -> Ask,
    then: &'static [Then],
}

/// What has to come of it. Names of headers are in small letters.
enum Then {
    /// This status; 0 is no answer.
    Status(u16),
    /// Sent on to there.
    Goes(&'static str),
    /// Sent on to something that begins so.
    GoesBelow(&'static str),
    /// With a header that holds this.
    Has(&'static str, &'static str),
    /// Without that in that header.
    HasNot(&'static str, &'static str),
    /// What stands behind the door was told this.
    Saw(&'static str),
    /// It was not.
    SawNot(&'static str),
}

impl Row {
    pub(super) fn judge(&self, scene: &Scene) -> Result<()> {
        let got = scene.ask(&(self.ask)())?;
        let location = got.header("location").unwrap_or_default();
        for then in self.then {
            let holds = match then {
                Status(status) => got.status == *status,
                Goes(to) => location == *to,
                GoesBelow(to) => location.starts_with(to),
                Has(header, part) => got.header(header).is_some_and(|value| value.contains(part)),
                HasNot(header, part) => got.header(header).is_none_or(|value| !value.contains(part)),
                Saw(part) => got.upstream_saw(part),
                SawNot(part) => !got.upstream_saw(part),
            };
            ensure!(holds, "{got:?}");
        }
        Ok(())
    }
}

const fn row(what: &'static str, ask: fn() -> Ask, then: &'static [Then]) -> Row {
    Row { what, ask, then }
}

fn site(path: &str) -> Ask {
    Ask::of("example.org", path)
}

fn auth(path: &str) -> Ask {
    Ask::of("auth.example.org", path)
}

fn cloud(path: &str) -> Ask {
    Ask::of("cloud.example.org", path)
}

fn vpn(path: &str) -> Ask {
    Ask::of("vpn.example.org", path)
}

fn inside(path: &str) -> Ask {
    Ask::of("metrics.internal.example.org", path)
}

/// From a service behind the door, and not from the door or the gate.
const REACHED: &[Then] = &[Status(200), Saw("HTTP/1.1\nHost: ")];
const FORBIDDEN: &[Then] = &[Status(403), SawNot("Host: ")];
const NOWHERE: &[Then] = &[Status(404), SawNot("Host: ")];
const MALFORMED: &[Then] = &[Status(400), SawNot("Host: ")];
const MUST_SIGN_IN: &[Then] = &[Status(302), Goes("/oauth2/start?rd=%2Fmembers"), SawNot("Host: ")];
const UNFORGED: &[Then] = &[Status(200), SawNot("forged")];

pub(super) const ROWS: &[Row] = &[
    // Names and schemes.
    row("a page", || site("/"), REACHED),
    row("over HTTP/1.1", || site("/").arg("--http1.1"), REACHED),
    row("over IPv6", || site("/").from(From::World6), REACHED),
    row(
        "HTTP leads to HTTPS",
        || site("/a?b=c").plainly(),
        &[Status(301), Goes("https://example.org/a?b=c")],
    ),
    row(
        "with its method",
        || site("/a").plainly().arg("-d").arg("x"),
        &[Status(308), Goes("https://example.org/a")],
    ),
    row(
        "another host leads home",
        || Ask::of("www.example.org", "/a?b=c"),
        &[Status(301), Goes("https://example.org/a?b=c")],
    ),
    row(
        "in one step",
        || Ask::of("www.example.org", "/a").plainly(),
        &[Status(301), Goes("https://example.org/a")],
    ),
    row("a stranger's name over HTTP", || Ask::of("stranger.example.org", "/").plainly(), NOWHERE),
    row(
        "a stranger's name has no certificate",
        || Ask::of("stranger.example.org", "/").blindly(),
        &[Status(0)],
    ),
    row("no name has none either", || Ask::of("198.51.100.1", "/").blindly(), &[Status(0)]),
    row("a stranger's name in the request", || site("/").header("Host: stranger.example.org"), NOWHERE),
    row("the name inside is nobody's outside", || site("/").header("Host: traefik.traefik"), NOWHERE),
    row(
        "an old protocol",
        || site("/").arg("--ciphers").arg("DEFAULT@SECLEVEL=0").arg("--tlsv1.0").arg("--tls-max").arg("1.1"),
        &[Status(0)],
    ),
    row("TLS 1.2", || site("/").arg("--tls-max").arg("1.2"), REACHED),
    // What scanners look at.
    row("HSTS", || site("/"), &[Has("strict-transport-security", "max-age=63072000")]),
    row("no guessing of types", || site("/"), &[Has("x-content-type-options", "nosniff")]),
    row("no frames of others", || site("/"), &[Has("x-frame-options", "SAMEORIGIN")]),
    row("referrers", || site("/"), &[Has("referrer-policy", "strict-origin-when-cross-origin")]),
    row("permissions", || site("/"), &[Has("permissions-policy", "camera=(self)")]),
    row("the route's policy", || site("/"), &[Has("content-security-policy", "default-src 'self'")]),
    row("no policy where none is given", || cloud("/"), &[HasNot("content-security-policy", "")]),
    row("nobody says what they are", || site("/"), &[HasNot("server", ""), HasNot("x-powered-by", "")]),
    // Over the private network only.
    row("administrators' pages from the internet", || site("/ghost/"), FORBIDDEN),
    row("the same over IPv6", || site("/ghost/").from(From::World6), FORBIDDEN),
    row("from a container", || site("/ghost/").from(From::Container), FORBIDDEN),
    row(
        "from a device they ask who it is",
        || site("/ghost/").from(From::Vpn),
        &[Status(302), Goes("/oauth2/start?rd=%2Fghost")],
    ),
    row(
        "over IPv6 too",
        || site("/ghost/").from(From::Vpn6),
        &[Status(302), Goes("/oauth2/start?rd=%2Fghost")],
    ),
    row("a name inside, from the internet", || inside("/"), FORBIDDEN),
    row("a name inside, from a container", || inside("/").from(From::Container), FORBIDDEN),
    row("a name inside, from a device", || inside("/").from(From::Vpn), REACHED),
    row("a name inside, over IPv6", || inside("/").from(From::Vpn6), REACHED),
    row("the identity's administration", || auth("/admin/"), FORBIDDEN),
    row("it, from a device", || auth("/admin/").from(From::Vpn), REACHED),
    row("X-Forwarded-For", || site("/ghost/").header("X-Forwarded-For: 100.64.0.7"), FORBIDDEN),
    row("X-Real-Ip", || site("/ghost/").header("X-Real-Ip: 100.64.0.7"), FORBIDDEN),
    row("Forwarded", || site("/ghost/").header("Forwarded: for=100.64.0.7"), FORBIDDEN),
    row("X_Forwarded_For", || site("/ghost/").header("X_Forwarded_For: 100.64.0.7"), FORBIDDEN),
    row("True-Client-Ip", || site("/ghost/").header("True-Client-Ip: 100.64.0.7"), FORBIDDEN),
    row("another name in TLS", || site("/").header("Host: metrics.internal.example.org"), FORBIDDEN),
    row("another name in TLS, with a path", || cloud("/admin").header("Host: auth.example.org"), FORBIDDEN),
    row("a dot behind the name", || site("/ghost/").header("Host: example.org."), FORBIDDEN),
    row("large letters in the name", || site("/ghost/").header("Host: EXAMPLE.ORG"), FORBIDDEN),
    row("a port behind the name", || site("/ghost/").header("Host: example.org:443"), FORBIDDEN),
    row(
        "the whole address as the path",
        || site("/").arg("--http1.1").arg("--request-target").arg("https://example.org/ghost/"),
        FORBIDDEN,
    ),
    row(
        "another address as the path",
        || site("/").arg("--http1.1").arg("--request-target").arg("https://metrics.internal.example.org/"),
        FORBIDDEN,
    ),
    // However it is written.
    row("/GHOST", || site("/GHOST/"), FORBIDDEN),
    row("/gHost", || site("/gHost"), FORBIDDEN),
    row("//ghost", || site("//ghost/"), FORBIDDEN),
    row("/./ghost", || site("/./ghost/"), FORBIDDEN),
    row("/x/../ghost", || site("/x/../ghost/"), FORBIDDEN),
    row("/x/%2e%2e/ghost", || site("/x/%2e%2e/ghost/"), FORBIDDEN),
    row("/%67host", || site("/%67host/"), FORBIDDEN),
    row("/%47HOST", || site("/%47HOST/"), FORBIDDEN),
    row("/ghost;x", || site("/ghost;x=1/"), FORBIDDEN),
    row("/ghost%3Bx", || site("/ghost%3Bx/"), FORBIDDEN),
    row("/;x/ghost", || site("/;x/ghost/"), FORBIDDEN),
    row("/%3Bx/ghost", || site("/%3Bx/ghost/"), FORBIDDEN),
    row("/ghost.", || site("/ghost./"), FORBIDDEN),
    row("/ghost%20", || site("/ghost%20"), FORBIDDEN),
    row("/ghost%09", || site("/ghost%09"), FORBIDDEN),
    row("/ghost?", || site("/ghost?/../"), FORBIDDEN),
    row("/oauth2/../ghost", || site("/oauth2/../ghost/"), FORBIDDEN),
    row("/x/..;/ghost", || site("/x/..;/ghost/"), NOWHERE),
    row("/..;/ghost", || site("/..;x=y/ghost/"), NOWHERE),
    row("/x/..%3B/ghost", || site("/x/..%3B/ghost/"), NOWHERE),
    row("/x/%2e%2e;/ghost", || site("/x/%2e%2e;/ghost/"), NOWHERE),
    row("/ghost%2F", || site("/ghost%2Fx"), MALFORMED),
    row("/x%2F..%2Fghost", || site("/x%2F..%2Fghost"), MALFORMED),
    row("/x/..%5Cghost", || site("/x/..%5Cghost"), MALFORMED),
    row("/x\\..\\ghost", || site("/x\\..\\ghost"), MALFORMED),
    row("/ghost%00", || site("/ghost%00"), MALFORMED),
    row("/%2567host", || site("/%2567host/"), MALFORMED),
    row("/x%23/ghost", || site("/x%23/../ghost"), FORBIDDEN),
    row("a page that only begins alike", || site("/ghost-stories/"), REACHED),
    row("another one", || site("/ghostly"), REACHED),
    // What nobody gets.
    row("/realms/main", || auth("/realms/main/account"), REACHED),
    row("/realms/masterful", || auth("/realms/masterful"), REACHED),
    row("/realms/master", || auth("/realms/master"), NOWHERE),
    row("from a device neither", || auth("/realms/master").from(From::Vpn), NOWHERE),
    row("/realms/master/", || auth("/realms/master/protocol/openid-connect/auth"), NOWHERE),
    row("/REALMS/Master", || auth("/REALMS/Master/x"), NOWHERE),
    row("/realms//master", || auth("/realms//master/x"), NOWHERE),
    row("//realms/master", || auth("//realms/master/x"), NOWHERE),
    row("/realms/./master", || auth("/realms/./master/x"), NOWHERE),
    row("/realms/main/../master", || auth("/realms/main/../master/x"), NOWHERE),
    row("/realms/main/%2E%2E/master", || auth("/realms/main/%2E%2E/master/x"), NOWHERE),
    row("/realms/%6daster", || auth("/realms/%6daster/x"), NOWHERE),
    row("/realms;x/master", || auth("/realms;x=1/master/x"), NOWHERE),
    row("/realms/;x/master", || auth("/realms/;x=1/master/x"), NOWHERE),
    row("/realms/master;x", || auth("/realms/master;x/y"), NOWHERE),
    row("/realms/master%3Bx", || auth("/realms/master%3Bx/y"), NOWHERE),
    row("/realms/master.json", || auth("/realms/master.json"), NOWHERE),
    row("/realms/main/..;/master", || auth("/realms/main/..;/master/x"), NOWHERE),
    row("/realms%2Fmaster", || auth("/realms%2Fmaster"), NOWHERE),
    row("/realms/main%2F..%2Fmaster", || auth("/realms/main%2F..%2Fmaster"), MALFORMED),
    row("/realms/master%2F", || auth("/realms/master%2Fx"), MALFORMED),
    row("with a dot behind the name", || auth("/realms/master").header("Host: auth.example.org."), NOWHERE),
    row("what no route names", || auth("/metrics"), NOWHERE),
    row("the root, which no route names", || auth("/"), NOWHERE),
    row("/server-status", || cloud("/server-status"), NOWHERE),
    row("/Server-Status;x", || cloud("/Server-Status;x"), NOWHERE),
    row("/server-status%3Bx", || cloud("/server-status%3Bx"), NOWHERE),
    row("/data;x/.ocdata", || cloud("/data;x/.ocdata"), NOWHERE),
    row("/data%3Bx/.OCdata", || cloud("/data%3Bx/.OCdata"), NOWHERE),
    row("/x/..;/server-status", || cloud("/x/..;/server-status"), NOWHERE),
    // Files.
    row(
        "names of files pass as they are",
        || cloud("/remote.php/dav/100%25%20%23%3F%3B.txt"),
        &[Status(200), Saw("GET /remote.php/dav/100%25%20%23%3F%3B.txt HTTP")],
    ),
    row("but no encoded slash", || cloud("/remote.php/dav/a%2Fb"), MALFORMED),
    row("no backslash", || cloud("/remote.php/dav/a%5Cb"), MALFORMED),
    row("no zero", || cloud("/remote.php/dav/a%00b"), MALFORMED),
    row("nor elsewhere a percent sign", || site("/100%25"), MALFORMED),
    row(
        "calendars are found",
        || cloud("/.well-known/caldav"),
        &[Status(301), Goes("https://cloud.example.org/remote.php/dav/")],
    ),
    row(
        "by their own method",
        || cloud("/.well-known/carddav").arg("-X").arg("PROPFIND"),
        &[Status(308), Goes("https://cloud.example.org/remote.php/dav/")],
    ),
    row(
        "methods of WebDAV pass",
        || cloud("/remote.php/dav/").arg("-X").arg("PROPFIND"),
        &[Status(200), Saw("PROPFIND /remote.php/dav/")],
    ),
    // The private network's control server.
    row("/key", || vpn("/key?v=130"), REACHED),
    row("/ts2021", || vpn("/ts2021"), REACHED),
    row("/derp/probe", || vpn("/derp/probe"), REACHED),
    row("/derp/latency-check", || vpn("/derp/latency-check"), REACHED),
    row("/bootstrap-dns", || vpn("/bootstrap-dns"), REACHED),
    row("/health", || vpn("/health"), REACHED),
    row("/api", || vpn("/api/v1/node"), NOWHERE),
    row("/api, from a device", || vpn("/api/v1/node").from(From::Vpn), NOWHERE),
    row("/key/../api", || vpn("/key/../api/v1/node"), NOWHERE),
    row("/key/..;/api", || vpn("/key/..;/api/v1/node"), NOWHERE),
    row("/keyring", || vpn("/keyring"), NOWHERE),
    row("/metrics", || vpn("/metrics"), NOWHERE),
    row("/verify", || vpn("/verify").arg("-d").arg("{}"), NOWHERE),
    row("/register", || vpn("/register/abc"), NOWHERE),
    row("/oidc", || vpn("/oidc/callback"), NOWHERE),
    row("/apple", || vpn("/apple"), NOWHERE),
    row("/windows", || vpn("/windows"), NOWHERE),
    row("/swagger", || vpn("/swagger"), NOWHERE),
    row("/version", || vpn("/version"), NOWHERE),
    row("/", || vpn("/"), NOWHERE),
    // What somebody says of themselves.
    row(
        "who asks",
        || site("/").header("X-Forwarded-For: forged"),
        &[Saw("X-Forwarded-For: 203.0.113.9\n"), SawNot("forged")],
    ),
    row("who asks, over IPv6", || site("/").from(From::World6), &[Saw("X-Forwarded-For: 2001:db8:9::9\n")]),
    row(
        "X-Real-Ip",
        || site("/").header("X-Real-Ip: forged"),
        &[Saw("X-Real-Ip: 203.0.113.9\n"), SawNot("forged")],
    ),
    row(
        "hidden by Connection",
        || site("/").arg("--http1.1").header("Connection: X-Forwarded-For, X-Real-Ip"),
        &[Saw("X-Forwarded-For: 203.0.113.9\n"), Saw("X-Real-Ip: 203.0.113.9\n")],
    ),
    row(
        "X-Forwarded-Proto",
        || site("/").header("X-Forwarded-Proto: forged"),
        &[Saw("X-Forwarded-Proto: https\n"), SawNot("forged")],
    ),
    row(
        "X-Forwarded-Host",
        || site("/").header("X-Forwarded-Host: forged.org"),
        &[Saw("X-Forwarded-Host: example.org\n"), SawNot("forged")],
    ),
    row("X-Forwarded-Uri", || site("/").header("X-Forwarded-Uri: /forged"), UNFORGED),
    row("X-Forwarded-Prefix", || site("/").header("X-Forwarded-Prefix: /forged"), UNFORGED),
    row("Forwarded", || site("/").header("Forwarded: for=forged"), UNFORGED),
    row("X-Auth-User", || site("/").header("X-Auth-User: forged"), UNFORGED),
    row("X_Auth_User", || site("/").header("X_Auth_User: forged"), UNFORGED),
    row("X.Auth.User", || site("/").header("X.Auth.User: forged"), UNFORGED),
    row("X_Auth_User over HTTP/1.1", || site("/").arg("--http1.1").header("X_Auth_User: forged"), UNFORGED),
    row("X~Auth~User", || site("/").header("X~Auth~User: forged"), UNFORGED),
    row("X-Auth-Request-User", || site("/").header("X-Auth-Request-User: forged"), UNFORGED),
    row("X_Auth_Request_User", || site("/").header("X_Auth_Request_User: forged"), UNFORGED),
    row("Remote-User", || site("/").header("Remote-User: forged"), UNFORGED),
    row("X-Original-Url", || site("/").header("X-Original-Url: /forged"), UNFORGED),
    row("X-Rewrite-Url", || site("/").header("X-Rewrite-Url: /forged"), UNFORGED),
    row("Proxy", || site("/").header("Proxy: http://forged"), UNFORGED),
    // The gate.
    row("somebody unknown", || site("/members"), MUST_SIGN_IN),
    row("deeper", || site("/members/a/b?c=d"), MUST_SIGN_IN),
    row("in large letters", || site("/MEMBERS"), MUST_SIGN_IN),
    row(
        "with another path for the gate",
        || site("/members").header("X-Forwarded-Uri: /oauth2/start"),
        MUST_SIGN_IN,
    ),
    row(
        "with a path that the gate lets pass",
        || site("/members").header("X-Forwarded-Uri: /ping"),
        MUST_SIGN_IN,
    ),
    row(
        "with another method for the gate",
        || site("/members").header("X-Forwarded-Method: OPTIONS"),
        MUST_SIGN_IN,
    ),
    row("with OPTIONS", || site("/members").arg("-X").arg("OPTIONS"), MUST_SIGN_IN),
    row(
        "with a cookie of their own making",
        || site("/members").header("Cookie: __Host-gate=forged"),
        MUST_SIGN_IN,
    ),
    row(
        "with a name of their own making",
        || site("/members").header("X-Auth-Request-User: forged"),
        MUST_SIGN_IN,
    ),
    row(
        "with a token of their own making",
        || site("/members").header("Authorization: Bearer e30.e30.e30"),
        MUST_SIGN_IN,
    ),
    row(
        "the log-in begins",
        || site("/oauth2/start?rd=%2Fmembers"),
        &[
            Status(302),
            GoesBelow("https://auth.example.org/realms/main/protocol/openid-connect/auth?"),
            Has("location", "redirect_uri=https%3A%2F%2Fexample.org%2Foauth2%2Fcallback"),
            Has("location", "code_challenge_method=S256"),
            Has("set-cookie", "Secure"),
            Has("set-cookie", "HttpOnly"),
            HasNot("set-cookie", "Domain="),
        ],
    ),
    row(
        "and ends nowhere else",
        || site("/oauth2/start?rd=https%3A%2F%2Fevil.org%2F"),
        &[Status(302), HasNot("location", "evil.org")],
    ),
    row(
        "nor without a scheme",
        || site("/oauth2/start?rd=%2F%2Fevil.org%2F"),
        &[Status(302), HasNot("location", "evil.org")],
    ),
    row(
        "nor with a backslash",
        || site("/oauth2/start?rd=%2F%5Cevil.org%2F"),
        &[Status(302), HasNot("location", "evil.org")],
    ),
    row(
        "nor with a tab",
        || site("/oauth2/start?rd=%2F%09%2Fevil.org%2F"),
        &[Status(302), HasNot("location", "evil.org")],
    ),
    row(
        "nor by a header",
        || site("/oauth2/start").header("X-Auth-Request-Redirect: https://evil.org/"),
        &[Status(302), HasNot("location", "evil.org")],
    ),
    row(
        "nor at another host",
        || site("/oauth2/start").header("X-Forwarded-Host: evil.org"),
        &[Status(302), HasNot("location", "evil.org")],
    ),
    row(
        "signing out ends here",
        || site("/oauth2/sign_out?rd=https%3A%2F%2Fevil.org%2F"),
        &[Status(302), Goes("/")],
    ),
    row("no gate where it guards nothing", || cloud("/oauth2/start"), REACHED),
    row("a service's own 401", || site("/its-own-401"), &[Status(401), Saw("Host: ")]),
];
