// Package remote is a repository on a Git server: [Connect] checks how to reach
// it, [Open] reads its references, and a [Clone] fetches and pushes. It moves
// objects and references, and knows nothing of what they hold.
//
// # What is fetched
//
// Each request names what is wanted and never what is there already, since
// answers to that (multi_ack) are where servers differ and go-git is weak.
// A server that can leave out files (GitHub, GitLab, Gitea, git with
// uploadpack.allowFilter) sends the newest 50,000 commits without any, and
// then the directories of one; a file is fetched when it is read, if the
// server sends single objects (uploadpack.allowAnySHA1InWant). Any other
// server sends the newest 100 commits with all that they need.
package remote
