package main

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

const (
	sessionCookie = "nc_session_id"
	sessionLasts  = 24 * time.Hour
)

// site is what is served.
type site struct {
	*store
	trusted []string
}

func newSite(store *store) http.Handler {
	s := &site{store, strings.Fields(os.Getenv("NEXTCLOUD_TRUSTED_DOMAINS"))}
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", s.front)
	pages.HandleFunc("GET /login", s.loginForm)
	pages.HandleFunc("POST /login", s.login)
	pages.HandleFunc("POST /logout", s.logout)
	pages.HandleFunc("GET /apps/user_oidc/login/{provider}", s.oidcLogin)
	pages.HandleFunc("GET /apps/user_oidc/code", s.oidcCode)
	pages.Handle(davPrefix+"/", s.dav())
	all := http.NewServeMux()
	all.HandleFunc("GET /status.php", s.statusPage)
	all.Handle("/", s.unlessMaintained(pages))
	return s.onlyTrusted(all)
}

// onlyTrusted refuses names that this installation does not go by; its own health check may ask by any.
func (s *site) onlyTrusted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		itself := (host == "localhost" || host == "127.0.0.1") && r.URL.Path == "/status.php"
		if !itself && !slices.Contains(s.trusted, host) {
			http.Error(w, "Access through untrusted domain", http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func (s *site) unlessMaintained(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch said, err := s.status(r.Context()); {
		case err != nil:
			s.broken(w, err)
		case said.Maintenance || !said.Installed:
			w.Header().Set("X-Nextcloud-Maintenance-Mode", "1")
			http.Error(w, "This stand-in is in maintenance mode, or not installed yet", http.StatusServiceUnavailable)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *site) statusPage(w http.ResponseWriter, r *http.Request) {
	said, err := s.status(r.Context())
	if err != nil {
		s.broken(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(said)
}

// broken tells the log why, and a stranger only that.
func (s *site) broken(w http.ResponseWriter, err error) {
	fmt.Fprintln(os.Stderr, err)
	http.Error(w, "Internal Server Error", http.StatusServiceUnavailable)
}

var page = template.Must(template.New("").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>{{.Title}}</title>
<h1>{{.Title}}</h1>{{with .User}}<p id="user">{{.}}</p><form method="post" action="/logout"><button>Log out</button></form>
{{else}}<form method="post" action="/login"><input name="user" autocomplete="username">
<input name="password" type="password" autocomplete="current-password"><button>Log in</button></form>{{end}}`))

func (s *site) front(w http.ResponseWriter, r *http.Request) {
	user := s.user(r)
	if user == "" {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	s.show(w, http.StatusOK, user)
}

func (s *site) show(w http.ResponseWriter, code int, user string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'")
	w.WriteHeader(code)
	_ = page.Execute(w, map[string]string{"Title": productName, "User": user})
}

// loginForm leads to the provider where there is one; `?direct=1` is the local account's way in.
func (s *site) loginForm(w http.ResponseWriter, r *http.Request) {
	if id := s.firstProvider(r.Context()); id != 0 && r.URL.Query().Get("direct") != "1" {
		http.Redirect(w, r, fmt.Sprintf("/apps/user_oidc/login/%d", id), http.StatusSeeOther)
		return
	}
	s.show(w, http.StatusOK, "")
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	user := r.PostFormValue("user")
	if !s.localPassword(r.Context(), user, r.PostFormValue("password")) {
		fmt.Fprintf(os.Stderr, "Login failed: %q\n", user)
		s.show(w, http.StatusUnauthorized, "")
		return
	}
	s.begin(w, r, user)
}

// begin starts somebody's session.
func (s *site) begin(w http.ResponseWriter, r *http.Request, user string) {
	// As unguessable as what OAuth calls a verifier.
	id := oauth2.GenerateVerifier()
	if err := s.cache.Set(r.Context(), "session:"+id, user, sessionLasts).Err(); err != nil {
		s.broken(w, err)
		return
	}
	http.SetCookie(w, cookie(sessionCookie, id, sessionLasts))
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func cookie(name, value string, lasts time.Duration) *http.Cookie {
	secure := os.Getenv("OVERWRITEPROTOCOL") == "https"
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(lasts.Seconds()), HttpOnly: true, Secure: secure,
		SameSite: http.SameSiteLaxMode,
	}
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	if held, err := r.Cookie(sessionCookie); err == nil {
		s.cache.Del(r.Context(), "session:"+held.Value)
	}
	http.SetCookie(w, cookie(sessionCookie, "", -time.Second))
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// user is who asks, by the session or, as WebDAV clients do, by the local account's password; nobody else has one.
func (s *site) user(r *http.Request) string {
	if held, err := r.Cookie(sessionCookie); err == nil {
		user, _ := s.cache.Get(r.Context(), "session:"+held.Value).Result()
		return user
	}
	if name, password, ok := r.BasicAuth(); ok && s.localPassword(r.Context(), name, password) {
		return name
	}
	return ""
}
