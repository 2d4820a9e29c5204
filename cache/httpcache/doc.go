// Package httpcache serves over HTTP how a cache is, and a few actions for operators: health, readiness, statistics, and
// invalidation behind a token. A program mounts a Handler, or its parts, where it likes:
//
//	h, err := httpcache.New(c, httpcache.Options{Groups: cached.Groups(), Ping: pool.Ping, Token: os.Getenv("PGASIDE_TOKEN")})
//	http.Handle("/", h)                                      // /livez, /readyz, /api/health/cache
//	http.HandleFunc("/api/health/cache", h.Health)           // or one by one
//
// No answer and no log line holds a key, an argument or a value. Errors are problem details (RFC 9457).
package httpcache
