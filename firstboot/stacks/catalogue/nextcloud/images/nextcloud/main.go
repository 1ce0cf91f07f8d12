// A stand-in for Nextcloud, for machines that cannot have it: it is configured as the published `nextcloud` image is,
// keeps its state in the same database and cache, and answers where tests and operators ask: status.php, the log-in
// by OpenID Connect of the app user_oidc, the log-in of the one local account, WebDAV, and `occ`. It is nothing to keep
// files in.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	version     = "34.0.3.1"
	productName = "Nextcloud stand-in"
	home        = "/var/www/html"
)

// Like Busybox, one program under several names: those that are called in Nextcloud's image.
func main() {
	args := os.Args[1:]
	name := filepath.Base(os.Args[0])
	if name == "php" {
		for len(args) > 0 && strings.HasPrefix(args[0], "-") {
			args = args[1:]
		}
		if len(args) == 0 {
			fail(fmt.Errorf("php: this is a stand-in, which knows occ and cron.php"))
		}
		name, args = filepath.Base(args[0]), args[1:]
	}
	var err error
	switch name {
	case "occ":
		err = occ(context.Background(), args)
	case "cron.php":
		err = cron(context.Background())
	case "curl":
		err = curl(args)
	default:
		err = serve()
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	if code, ok := err.(exitCode); ok {
		os.Exit(int(code))
	}
	os.Exit(1)
}

// exitCode ends a command without a word of its own.
type exitCode int

func (code exitCode) Error() string { return "" }

// setting is a variable, or what is in the file that the variable with _FILE names.
func setting(name, otherwise string) (string, error) {
	value, file := os.Getenv(name), os.Getenv(name+"_FILE")
	switch {
	case value != "" && file != "":
		return "", fmt.Errorf("reading %s: %s and %s_FILE are both set; set one", name, name, name)
	case file != "":
		content, err := os.ReadFile(file)
		return strings.TrimRight(string(content), "\r\n"), err
	case value != "":
		return value, nil
	}
	return otherwise, nil
}

func serve() error {
	store, err := open(context.Background())
	if err != nil {
		return err
	}
	// As Nextcloud's entry point lays its programs out in the volume.
	for _, program := range []string{"occ", "cron.php"} {
		_ = os.Remove(filepath.Join(home, program))
		if err := os.Symlink("/usr/local/bin/nextcloud-stand-in", filepath.Join(home, program)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dataDirectory, 0o750); err != nil {
		return err
	}
	go store.installUntilDone()
	server := &http.Server{Addr: ":80", Handler: newSite(store), ReadHeaderTimeout: 10 * time.Second}
	fmt.Println(productName, version, "listens on port 80")
	return server.ListenAndServe()
}

// curl does what health checks use of it: `curl -fsS [-H NAME:VALUE] URL`.
func curl(args []string) error {
	request, err := http.NewRequest(http.MethodGet, args[len(args)-1], nil)
	if err != nil {
		return err
	}
	for i, arg := range args[:len(args)-1] {
		if arg == "-H" {
			name, value, _ := strings.Cut(args[i+1], ":")
			if strings.EqualFold(name, "Host") {
				request.Host = strings.TrimSpace(value)
			}
			request.Header.Set(name, strings.TrimSpace(value))
		}
	}
	answer, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 400 {
		return fmt.Errorf("curl: the server answered %s", answer.Status)
	}
	_, err = os.Stdout.ReadFrom(answer.Body)
	return err
}
