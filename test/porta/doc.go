// Package porta plays System (porta) and Zync, of which the tests have no image:
// as little of them as a restore of an installation meets. Start with [Start].
//
// A [Database] stands for System's database and for the Redis of its jobs, and
// outlives the installations that use it, as in a disaster. The program in rails
// stands for bash, bundle and rails in the image of System; it runs in real pods,
// and what it does reaches the Database over the network, or not at all.
//
// Zync's five Routes come when the first installation fills the database, and
// after that only when the rake task zync:resync:domains has run in a pod that
// porta would boot in, and while the programs that have to do with it are
// available: porta's task publishes events (lib/tasks/zync.rake), from which
// sidekiq's ZyncWorker (app/workers/zync_worker.rb) calls zync, whose zync-que
// writes the Routes (zync, app/services/integration/kubernetes_service.rb).
package porta
