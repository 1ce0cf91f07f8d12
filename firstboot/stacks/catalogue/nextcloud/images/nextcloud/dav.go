package main

import (
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/webdav"
)

const (
	davPrefix     = "/remote.php/dav/files"
	dataDirectory = home + "/data"
)

// dav serves everybody's own files, and keeps a row of each in the database.
func (s *site) dav() http.Handler {
	locks := webdav.NewMemLS()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := s.user(r)
		if user == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="`+productName+`"`)
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		own := davPrefix + "/" + user
		below, isOwn := strings.CutPrefix(path.Clean(r.URL.Path), own)
		if !isOwn || (below != "" && below[0] != '/') || strings.ContainsAny(user, "/\\") || user[0] == '.' {
			http.Error(w, "Forbidden", http.StatusForbidden)
			return
		}
		directory := filepath.Join(dataDirectory, user, "files")
		if err := os.MkdirAll(directory, 0o750); err != nil {
			s.broken(w, err)
			return
		}
		answered := &answer{ResponseWriter: w, code: http.StatusOK}
		handler := webdav.Handler{Prefix: own, FileSystem: webdav.Dir(directory), LockSystem: locks}
		handler.ServeHTTP(answered, r)
		if answered.code < 300 {
			if err := s.remember(r, user+"/files"+below, filepath.Join(directory, below)); err != nil {
				// The answer is on its way; the next scan of a real Nextcloud would find the file too.
				os.Stderr.WriteString("remembering a file: " + err.Error() + "\n")
			}
		}
	})
}

// remember brings the file's row up to date.
func (s *site) remember(r *http.Request, name, file string) error {
	switch r.Method {
	case http.MethodPut:
		found, err := os.Stat(file)
		if err != nil {
			return err
		}
		add := `INSERT INTO oc_filecache VALUES ($1, $2, $3) ON CONFLICT (path) DO UPDATE SET size = $2, mtime = $3`
		_, err = s.db.Exec(r.Context(), add, name, found.Size(), time.Now().Unix())
		return err
	case http.MethodDelete:
		gone := `DELETE FROM oc_filecache WHERE path = $1 OR starts_with(path, $1 || '/')`
		_, err := s.db.Exec(r.Context(), gone, name)
		return err
	}
	return nil
}

// answer remembers how the request ended.
type answer struct {
	http.ResponseWriter
	code int
}

func (a *answer) WriteHeader(code int) {
	a.code = code
	a.ResponseWriter.WriteHeader(code)
}
