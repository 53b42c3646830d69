// Package web renders alertd for people: the dashboard, a page for each alert, the forms for silences and acks, and the
// runbooks. It asks for what it shows and decides nothing.
//
// Pages are rendered on the server, complete and without scripts, so that they read the same in a browser on a
// phone at night, in w3m and in a saved copy. Everything that comes from outside (labels, annotations, errors of
// services) is escaped by context, and only links of http and https are links. Handlers are safe for concurrent
// use.
package web
