package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// known is what occ does here.
const known = "status, user:list, user:resetpassword, maintenance:mode, config:import, app:enable, " +
	"security:certificates:import and user_oidc:provider"

// occ is the administrator's command.
func occ(ctx context.Context, args []string) error {
	words, options := split(args)
	if len(words) == 0 {
		return fmt.Errorf("occ: this is a stand-in, which knows %s", known)
	}
	s, err := open(ctx)
	if err != nil {
		return err
	}
	switch words[0] {
	case "status":
		return s.occStatus(ctx, options)
	case "user:list":
		return s.occUsers(ctx, options)
	case "maintenance:mode":
		return s.occMaintenance(ctx, options)
	case "user:resetpassword":
		return s.occPassword(ctx, words[1:], options)
	case "config:import":
		return s.occImport(ctx, words[1:])
	case "app:enable":
		return s.occEnable(ctx, words[1:])
	case "security:certificates:import":
		return occCertificate(words[1:])
	case "user_oidc:provider":
		if enabled, err := s.config(ctx, "user_oidc", "enabled"); err != nil || enabled != "yes" {
			return errors.Join(err, errors.New(`There are no commands defined in the "user_oidc" namespace.`))
		}
		return s.occProvider(ctx, words[1:], options)
	}
	return fmt.Errorf("occ: this is a stand-in, which does not know %s", words[0])
}

// split parts words from options, which are `--name=value`, `--name value` where a value must follow, or `-e`.
func split(args []string) (words []string, options map[string]string) {
	options = map[string]string{}
	alone := map[string]bool{"on": true, "off": true, "exit-code": true, "no-interaction": true, "no-warnings": true,
		"password-from-env": true}
	for i := 0; i < len(args); i++ {
		name, isOption := strings.CutPrefix(args[i], "--")
		name, value, hasValue := strings.Cut(name, "=")
		switch {
		case args[i] == "-e":
			options["exit-code"] = ""
		case args[i] == "-n":
		case !isOption:
			words = append(words, args[i])
		case !hasValue && !alone[name] && i+1 < len(args):
			i++
			options[name] = args[i]
		default:
			options[name] = value
		}
	}
	return words, options
}

func has(options map[string]string, name string) bool {
	_, there := options[name]
	return there
}

func say(value any) error {
	text, err := json.Marshal(value)
	fmt.Println(string(text))
	return err
}

func (s *store) occStatus(ctx context.Context, options map[string]string) error {
	said, err := s.status(ctx)
	switch {
	case err != nil:
		return err
	case has(options, "exit-code") && (said.Maintenance || !said.Installed):
		return exitCode(1)
	case has(options, "exit-code"):
		return nil
	case options["output"] == "json":
		return say(said)
	}
	fmt.Printf("  - installed: %t\n  - version: %s\n  - versionstring: %s\n  - edition: %s\n  - maintenance: %t\n"+
		"  - needsDbUpgrade: %t\n  - productname: %s\n  - extendedSupport: %t\n", said.Installed, said.Version,
		said.VersionString, said.Edition, said.Maintenance, said.NeedsDbUpgrade, said.ProductName, said.ExtendedSupport)
	return nil
}

func (s *store) occUsers(ctx context.Context, options map[string]string) error {
	rows, err := s.db.Query(ctx, `SELECT uid, coalesce(displayname, uid) FROM oc_users ORDER BY uid`)
	if err != nil {
		return err
	}
	defer rows.Close()
	all := map[string]string{}
	for rows.Next() {
		var uid, name string
		if err := rows.Scan(&uid, &name); err != nil {
			return err
		}
		all[uid] = name
		if options["output"] != "json" {
			fmt.Printf("  - %s: %s\n", uid, name)
		}
	}
	if options["output"] == "json" {
		return say(all)
	}
	return rows.Err()
}

func (s *store) occMaintenance(ctx context.Context, options map[string]string) error {
	if has(options, "on") || has(options, "off") {
		if err := s.setConfig(ctx, "core", "maintenance", fmt.Sprint(has(options, "on"))); err != nil {
			return err
		}
	}
	said, err := s.status(ctx)
	if err != nil {
		return err
	}
	fmt.Println("Maintenance mode is", map[bool]string{true: "enabled", false: "disabled"}[said.Maintenance])
	return nil
}

// occPassword sets a local account's password, from the environment.
func (s *store) occPassword(ctx context.Context, words []string, options map[string]string) error {
	password := os.Getenv("NC_PASS")
	if password == "" {
		password = os.Getenv("OC_PASS")
	}
	if len(words) != 1 || !has(options, "password-from-env") || password == "" {
		return errors.New("occ: user:resetpassword --password-from-env USER, with NC_PASS set")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return err
	}
	set := `UPDATE oc_users SET password = $2 WHERE uid = $1 AND password IS NOT NULL`
	done, err := s.db.Exec(ctx, set, words[0], string(hash))
	if err == nil && done.RowsAffected() == 0 {
		err = errors.New("User does not exist")
	}
	return err
}

// occImport takes over settings from a file: those of the system, which a real Nextcloud keeps in config.php, and those of apps.
func (s *store) occImport(ctx context.Context, words []string) error {
	if len(words) != 1 {
		return errors.New("occ: config:import FILE")
	}
	content, err := os.ReadFile(words[0])
	if err != nil {
		return err
	}
	var all struct {
		System map[string]json.RawMessage
		Apps   map[string]map[string]string
	}
	if err := json.Unmarshal(content, &all); err != nil {
		return fmt.Errorf("reading %s: %w", words[0], err)
	}
	for key, value := range all.System {
		if err := s.setConfig(ctx, "system", key, string(value)); err != nil {
			return err
		}
	}
	for app, settings := range all.Apps {
		for key, value := range settings {
			if err := s.setConfig(ctx, app, key, value); err != nil {
				return err
			}
		}
	}
	fmt.Println("Config successfully imported from:", words[0])
	return nil
}

// occEnable switches on the one app there is.
func (s *store) occEnable(ctx context.Context, words []string) error {
	if len(words) != 1 || words[0] != "user_oidc" {
		return errors.New("occ: this is a stand-in, which has the app user_oidc and no other")
	}
	if err := s.setConfig(ctx, words[0], "enabled", "yes"); err != nil {
		return err
	}
	fmt.Println(words[0], "enabled")
	return nil
}

// occCertificate takes over who else vouches for those who are asked.
func occCertificate(words []string) error {
	if len(words) != 1 {
		return errors.New("occ: security:certificates:import FILE")
	}
	content, err := os.ReadFile(words[0])
	if err != nil {
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(content) {
		return fmt.Errorf("reading %s: no certificate is in it", words[0])
	}
	return os.WriteFile(certificates, content, 0o640)
}

// occProvider lists the providers, shows one, or sets what the options say of one.
func (s *store) occProvider(ctx context.Context, words []string, options map[string]string) error {
	if len(words) == 0 {
		all, err := s.providers(ctx, "")
		if err != nil {
			return err
		}
		return say(all)
	}
	delete(options, "output")
	if len(options) > 0 {
		if err := s.setProvider(ctx, words[0], options); err != nil {
			return err
		}
	}
	found, err := s.providers(ctx, "WHERE identifier = $1", words[0])
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("Provider not found")
	}
	return say(found[0])
}

func (s *store) setProvider(ctx context.Context, identifier string, options map[string]string) error {
	if file := options["clientsecret-file"]; file != "" {
		secret, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		options["clientsecret"] = strings.TrimSpace(string(secret))
	}
	add := `INSERT INTO oc_user_oidc_providers (identifier, scope) VALUES ($1, 'openid email profile') ON CONFLICT DO NOTHING`
	if _, err := s.db.Exec(ctx, add, identifier); err != nil {
		return err
	}
	columns := map[string]string{
		"clientid": "client_id", "clientsecret": "client_secret", "discoveryuri": "discovery_endpoint", "scope": "scope",
	}
	for name, value := range options {
		var err error
		if column, known := columns[name]; known {
			set := `UPDATE oc_user_oidc_providers SET ` + column + ` = $2 WHERE identifier = $1`
			_, err = s.db.Exec(ctx, set, identifier, value)
		} else if name != "clientsecret-file" {
			set := `UPDATE oc_user_oidc_providers SET settings = settings || jsonb_build_object($2::text, $3::text) WHERE identifier = $1`
			_, err = s.db.Exec(ctx, set, identifier, name, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cron is what a timer runs; a real Nextcloud does its background jobs here.
func cron(ctx context.Context) error {
	s, err := open(ctx)
	if err != nil {
		return err
	}
	return s.setConfig(ctx, "core", "lastcron", fmt.Sprint(time.Now().Unix()))
}
