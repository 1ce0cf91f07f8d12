package auth

import "net/http"

// CheckSecret says whether the password is the one that the secret was made of.
func CheckSecret(password, secret string) bool {
	request := &http.Request{Header: http.Header{}}
	request.SetBasicAuth("user", password)
	only := BasicAuth{Secrets: func(string, string) string { return secret }}
	return only.CheckAuth(request) != ""
}

// RequireAuthStale asks for the credentials again; a client that was told of no staleness asks its user.
func (a *DigestAuth) RequireAuthStale(w http.ResponseWriter, r *http.Request) {
	a.RequireAuth(w, r)
}
