// Package web renders alertd for people: one dashboard, and the runbooks that its links lead to.
//
// Pages are rendered on the server, complete and without scripts, so that they read the same in a browser on a
// phone at night, in w3m and in a saved copy. Everything that comes from outside (labels, annotations, errors of
// services) is escaped by context, and only links of http and https are links. Handlers are safe for concurrent
// use.
package web
