// Package ext stands in for a nested module of Traefik's own that holds its edition's extensions: none.
package ext

// HTTP has no extensions of the dynamic configuration.
type HTTP struct{}

// Router has no extensions of a router.
type Router struct{}
