package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// occ is the administrator's command: status, user:list, maintenance:mode and user_oidc:provider.
func occ(ctx context.Context, args []string) error {
	words, options := split(args)
	if len(words) == 0 {
		return fmt.Errorf("occ: this is a stand-in, which knows status, user:list, maintenance:mode and user_oidc:provider")
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
	case "user_oidc:provider":
		return s.occProvider(ctx, words[1:], options)
	}
	return fmt.Errorf("occ: this is a stand-in, which does not know %s", words[0])
}

// split parts words from options, which are `--name=value`, `--name value` where a value must follow, or `-e`.
func split(args []string) (words []string, options map[string]string) {
	options = map[string]string{}
	alone := map[string]bool{"on": true, "off": true, "exit-code": true, "no-interaction": true, "no-warnings": true}
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
