package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"golang.org/x/crypto/bcrypt"
)

// store is the database and the cache.
type store struct {
	db    *pgxpool.Pool
	cache *redis.Client
}

const schema = `
CREATE TABLE IF NOT EXISTS oc_appconfig (appid text, configkey text, configvalue text, PRIMARY KEY (appid, configkey));
CREATE TABLE IF NOT EXISTS oc_users (uid text PRIMARY KEY, displayname text, password text);
CREATE TABLE IF NOT EXISTS oc_filecache (path text PRIMARY KEY, size bigint, mtime bigint);
CREATE TABLE IF NOT EXISTS oc_user_oidc_providers (
	id serial PRIMARY KEY, identifier text UNIQUE, client_id text, client_secret text, discovery_endpoint text,
	scope text, settings jsonb DEFAULT '{}'
);`

// sessionsFile is PHP's own configuration of where sessions are kept. The published image writes it from REDIS_HOST where it
// runs as root; for anybody else it is mounted.
const sessionsFile = "/usr/local/etc/php/conf.d/redis-session.ini"

// open reads where database and cache are; it waits for neither.
func open(ctx context.Context) (*store, error) {
	values := map[string]string{}
	for name, otherwise := range map[string]string{
		"POSTGRES_HOST": "", "POSTGRES_DB": "nextcloud", "POSTGRES_USER": "nextcloud", "POSTGRES_PASSWORD": "",
	} {
		value, err := setting(name, otherwise)
		if err != nil {
			return nil, err
		}
		values[name] = value
	}
	if values["POSTGRES_HOST"] == "" {
		return nil, errors.New("reading the environment: POSTGRES_HOST is not set")
	}
	where, err := cacheOptions()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(values["POSTGRES_HOST"])
	if err != nil {
		host, port = values["POSTGRES_HOST"], "5432"
	}
	config, err := pgxpool.ParseConfig("host=" + host + " port=" + port + " sslmode=prefer connect_timeout=5")
	if err != nil {
		return nil, err
	}
	config.ConnConfig.Database = values["POSTGRES_DB"]
	config.ConnConfig.User = values["POSTGRES_USER"]
	config.ConnConfig.Password = values["POSTGRES_PASSWORD"]
	config.MaxConns = 10
	db, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return &store{db, redis.NewClient(where)}, nil
}

// cacheOptions says where the cache is: in the environment, or else in PHP's configuration of sessions.
func cacheOptions() (*redis.Options, error) {
	host := os.Getenv("REDIS_HOST")
	if host == "" {
		return cacheOfSessions()
	}
	port, err := setting("REDIS_HOST_PORT", "6379")
	if err != nil {
		return nil, err
	}
	password, err := setting("REDIS_HOST_PASSWORD", "")
	return &redis.Options{Addr: host + ":" + port, Password: password}, err
}

// cacheOfSessions reads `session.save_path = "tcp://HOST:PORT?auth=PASSWORD"`.
func cacheOfSessions() (*redis.Options, error) {
	content, err := os.ReadFile(sessionsFile)
	if err != nil {
		return nil, fmt.Errorf("finding the cache: REDIS_HOST is not set, and %w", err)
	}
	for _, line := range strings.Split(string(content), "\n") {
		name, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(name) != "session.save_path" {
			continue
		}
		where, err := url.Parse(strings.Trim(strings.TrimSpace(value), `"`))
		if err != nil || where.Scheme != "tcp" {
			return nil, fmt.Errorf("finding the cache: session.save_path of %s is no tcp:// address", sessionsFile)
		}
		return &redis.Options{Addr: where.Host, Password: where.Query().Get("auth")}, nil
	}
	return nil, fmt.Errorf("finding the cache: %s has no session.save_path", sessionsFile)
}

// installUntilDone waits for the database as long as it takes.
func (s *store) installUntilDone() {
	for {
		err := s.install(context.Background())
		if err == nil {
			return
		}
		fmt.Fprintln(os.Stderr, "installing:", err)
		time.Sleep(2 * time.Second)
	}
}

// install makes the tables and, the first time, the local account: later the environment decides nothing about it.
func (s *store) install(ctx context.Context) error {
	if _, err := s.db.Exec(ctx, schema); err != nil {
		return err
	}
	if done, err := s.config(ctx, "core", "installed"); err != nil || done != "" {
		return err
	}
	name, err := setting("NEXTCLOUD_ADMIN_USER", "")
	if err != nil {
		return err
	}
	password, err := setting("NEXTCLOUD_ADMIN_PASSWORD", "")
	if err != nil {
		return err
	}
	if name == "" || password == "" {
		return errors.New("no local account; set NEXTCLOUD_ADMIN_USER and NEXTCLOUD_ADMIN_PASSWORD_FILE")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return err
	}
	add := `INSERT INTO oc_users VALUES ($1, $1, $2) ON CONFLICT DO NOTHING`
	if _, err := s.db.Exec(ctx, add, name, string(hash)); err != nil {
		return err
	}
	return s.setConfig(ctx, "core", "installed", "true")
}

func (s *store) config(ctx context.Context, app, key string) (string, error) {
	var value string
	find := `SELECT configvalue FROM oc_appconfig WHERE appid = $1 AND configkey = $2`
	err := s.db.QueryRow(ctx, find, app, key).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return value, err
}

func (s *store) setConfig(ctx context.Context, app, key, value string) error {
	set := `INSERT INTO oc_appconfig VALUES ($1, $2, $3) ON CONFLICT (appid, configkey) DO UPDATE SET configvalue = $3`
	_, err := s.db.Exec(ctx, set, app, key, value)
	return err
}

// status is what status.php and `occ status` say.
type status struct {
	Installed       bool   `json:"installed"`
	Maintenance     bool   `json:"maintenance"`
	NeedsDbUpgrade  bool   `json:"needsDbUpgrade"`
	Version         string `json:"version"`
	VersionString   string `json:"versionstring"`
	Edition         string `json:"edition"`
	ProductName     string `json:"productname"`
	ExtendedSupport bool   `json:"extendedSupport"`
}

// status asks the database and the cache; an error where one does not answer.
func (s *store) status(ctx context.Context) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	said := status{Version: version, VersionString: version[:len(version)-2], ProductName: productName}
	if err := s.cache.Ping(ctx).Err(); err != nil {
		return said, fmt.Errorf("asking the cache: %w", err)
	}
	installed, err := s.config(ctx, "core", "installed")
	if err != nil {
		return said, fmt.Errorf("asking the database: %w", err)
	}
	maintenance, err := s.config(ctx, "core", "maintenance")
	said.Installed, said.Maintenance = installed != "", maintenance == "true"
	return said, err
}

// localPassword says whether it is the local account's password.
func (s *store) localPassword(ctx context.Context, user, password string) bool {
	var hash *string
	find := `SELECT password FROM oc_users WHERE uid = $1`
	if err := s.db.QueryRow(ctx, find, user).Scan(&hash); err != nil || hash == nil {
		return false
	}
	return bcrypt.CompareHashAndPassword([]byte(*hash), []byte(password)) == nil
}

// welcome remembers somebody whom the provider sent.
func (s *store) welcome(ctx context.Context, uid, displayName string) error {
	add := `INSERT INTO oc_users VALUES ($1, $2, NULL) ON CONFLICT (uid) DO UPDATE SET displayname = $2`
	_, err := s.db.Exec(ctx, add, uid, displayName)
	return err
}
