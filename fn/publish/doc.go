// Package publish brings files into a Git repository: it clones, makes one
// commit, signs it, pushes it, and tries again when another push won. It knows bytes
// and paths, and nothing of what they mean or where logins come from. Start at
// [Publish]; [Inspect] only looks, and [Local] writes to a repository
// on this machine. Package internal/remote is the Git server's side.
//
// # Flow
//
//	Publish
//	  once             a fresh, bare clone in a temporary directory, for each try
//	    look           references, commits; is the trailer there already? -> Found
//	    files          the newest commit's directories, as an fs.FS
//	    make           change -> edit -> new blobs and trees -> the diff is proven -> commit, signature
//	    updates        which references, and that nothing of others is overwritten
//	    push           one pack of the new objects; each reference only from the value it had
//	  a lost race      a random pause, and again, at most ten times
//
// # No work tree
//
// A commit is made of the trees on the way to our folders, which are read and
// written as objects. Nothing is checked out: 100,000 files of others cost
// nothing, and .gitignore, .gitattributes (line ends, LFS) and symlinks cannot
// change, hide or divert what is written. A path that is, or passes through, a
// symlink, a submodule or a file is refused. What is committed is compared
// with what was asked for, by a diff of the two trees, before it is pushed.
//
// For this reason gogit.Client of fluxcd/pkg/git is not used, which needs a
// work tree, fetches one depth, pushes after a walk over all files, and does
// not tell a lost race from a refusal. Its options (git.AuthOptions), its
// known_hosts, its signatures and its choice of capabilities are; below them
// are go-git's own transports and pack files.
//
// # The record
//
// A commit's trailer (see [Trailer]) is the record that something was
// published: it survives the loss of all that is not in Git, merges, and most
// squashes. It is looked for in what history was fetched; [Result] tells in
// Looked and Whole how far that was. A change that can see from the files that
// they are what it would write returns an empty [Edit], which needs no history.
//
// # Races
//
// A push names the commit that a branch must have, so that the server refuses
// it when somebody else was first. Nothing is locked here meanwhile: whoever
// could name the lock, by the same URL and a proxy of his own, could hold it. Whether a push whose answer was lost has
// arrived, the trailer tells the next try. Only a push branch is ever
// overwritten, and only if its newest commit has a record of the same
// subject: fix-ups that somebody added, or another restore's commit, are not.
//
// # Errors
//
// Errors are of type [*Error]: their [Reason] tells whether trying again can
// help, their text is for users, and no login is in them.
package publish
