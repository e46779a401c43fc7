// Package archive is the on-disk backup format: it writes runs to a volume, and lists, verifies, reads and removes
// them. It knows bytes, files and age recipients, and nothing of where they come from. Start at [OpenVolume]:
// [Volume.Write] makes a backup, [Volume.Verify] proves one and [Volume.VerifyRuns] all, [Volume.OpenRun] reads one,
// and [Run.Restore] brings its file storage back. [OpenBucket] opens copies of runs in an object store: [Bucket.Copy]
// makes them, and the rest is the same.
//
// # Layout
//
//	<volume>/
//	  .lock                                     names the writer while it writes, else empty
//	  latest -> runs/<run>                      the complete run that was committed last
//	  secrets -> latest/secrets                 likewise configmaps, apimanager, system-filestorage-pvc
//	  runs/<run>/
//	    manifest.json                           written last; see Manifest
//	    SHA256SUMS                              every regular file of the run except manifest.json and itself
//	    secrets/ configmaps/ apimanager/        the objects
//	    system-filestorage-pvc -> ../../trees/<tree>/files
//	    databases -> ../../trees/<tree>/files
//	  trees/<tree>/
//	    MTREE                                   every entry of the file storage
//	    SHA256SUMS                              MTREE, every regular file below files/, and the next
//	    files.xattrs                            extended attributes; absent where no entry has any
//	    files/...
//	  runs/.aside-<run>                         what had the name of a run before that run began; see [Witness]
//	  trees/.stamps-<tree>                      what tells unchanged files of the source; no part of a backup
//	  .scratch/<run>/                           what is made on the way to a run; no part of a backup, see [ScratchDir]
//
// manifest.json holds the digests of the three lists, so one digest, that of manifest.json, stands for a whole run. No
// list can hold it: it is in [Result] and [RunInfo], to be kept elsewhere.
//
// The sequence in their manifests orders the runs. It is one more than the greatest on the volume when the run was
// committed, so no clock has a part in it. Format 1 had no sequence: its runs are older than all others, and startTime
// orders them. If a run's startTime is later than that of a run that was written after it, a warning says so.
//
// A run with dumps of databases has a second tree, with a directory for each dump at its root and nothing but regular
// files and directories. Its lists are like those of the file storage, and have digests of their own in manifest.json.
// Such a run is of format 3; one without is of format 2 still. Dumps are made anew for each run, so only the names and
// the content of their files count: in MTREE, modes, owners and times are the same for all.
//
// Both SHA256SUMS are in coreutils' format, escapes included: `sha256sum -c SHA256SUMS` passes in the directory of
// each. A tree's list begins with its MTREE, because coreutils calls a list without lines malformed, and the file
// storage may be empty. The name of a tree is what `sha256sum MTREE SHA256SUMS | sha256sum` prints in it.
//
// A tool for object stores may have copied the volume. Such a copy may lack symlinks, empty directories, modes and
// times, and may have the target of a symlink in the symlink's place: [Volume.Verify] reports that as a warning. A
// restore takes all but the bytes of files from the lists, and the next run that shares such a tree makes it whole.
//
// Every list is sorted by path, compared byte by byte with the slash lowest. That is the order of a depth-first walk
// with sorted directories, so lists and directories are merged as streams, in memory that does not grow. Only the
// SHA256SUMS of a run may have another order: older versions sorted the objects of an encrypted run without .age.
//
// MTREE is mtree(5) with one full path a line, relative to files/, and the keywords type, mode, uid, gid, size (files),
// time and link (symlinks), in that order. A byte other than a letter, a digit or harmless punctuation is three octal
// digits after a backslash, as vis(3) writes it. MTREE describes the source: sizes are those of the plaintext, owners
// and modes those of the source, whatever the volume can hold.
//
// files.xattrs has the extended attributes of files and directories in the format of getfattr --dump, with values in
// base64: `setfattr --restore=files.xattrs` sets them in a copy of files/. It holds POSIX access control lists, by the
// kernel's names for them (system.posix_acl_access and system.posix_acl_default), and the attributes of users (user.*).
// An encrypted run keeps only the former, since files.xattrs is not encrypted (for objects of a bucket see below). The
// mode in MTREE of an entry with an access control list gives nobody more than that list, so nobody gains rights where
// the entry is restored without it. The group has its own rights (stat(2) shows the mask instead) less what a named
// user lacks, and the others have no right that a named user or group lacks. A list of more than 32 KiB is not kept,
// and narrows the mode all the same.
//
// # Stored form
//
// Files belong to the writer's user. A stored file keeps the source's permission bits, and its owner can always read
// it. Setuid, setgid and sticky bits of files are in MTREE only: a copy that belongs to another user must not get its
// source's privilege. Directories keep their bits, and their owner can always enter them. Storage is free to change
// modes afterwards (a kubelet adds group rights for an fsGroup), so to [Volume.Verify] that is a warning. Hard links
// within the source become independent files.
//
// With recipients every stored file is an age stream. An object's name gets the suffix .age; the files of the file
// storage keep their names. SHA256SUMS covers the stored bytes, and no digest of a plaintext is kept. Names, sizes,
// modes, times and the targets of symlinks are readable. While the newest run is encrypted, the operator's view (the
// link secrets and so on) is absent, since APIManagerRestore would take the encrypted files for data.
//
// A volume that cannot hold symlinks has a file LATEST with the run's name, no system-filestorage-pvc and no operator's
// view. Symlinks of the file storage are then in MTREE only, and manifest.json says so. A name that the volume cannot
// hold, or that another entry has there, fails the run.
//
// What APIManagerBackup wrote at the root of a volume stays, and nothing writes to it: then there are no links beside
// it. It is read as the run [UnverifiedRun].
//
// # Writing
//
// A run and its trees are built as runs/.partial-<run> and trees/.partial-<run>, synced once, and renamed, the trees
// first. (On FUSE, where one sync may not reach the disk, each file is synced.) A file is hard-linked from the newest
// tree with the same recipients if size, mtime, mode and stamp are the same. A tree whose MTREE would be the same is
// shared.
//
// A stamp stands for a file's ctime and inode, which nobody can set back: a file that was written over, with its size
// and mtime kept, has another one. A list of stamps lies beside the tree, one a file in the order of MTREE. Behind a
// stamp it names the attributes of the file that are not kept, so that a run that links the file can report them. A
// file has no stamp if it was changed less than two seconds before the scan, since a later change may show in no time
// stamp. (The writer's clock counts the two seconds: it should not be ahead of a file server's by more.) Runs of older
// versions have none either. A file with another stamp or none is read, and linked if its digest is the listed one; an
// encrypted one cannot be compared, and is stored anew. Inodes count where the file system has them (not on FAT, SMB or
// FUSE).
//
// Dumps have no stamps by inode, as each is made anew: every file of a known path and size is read, and linked if its
// digest is the listed one. For encrypted dumps, the list of stamps has instead 64 bits of an HMAC-SHA-256 over the
// digests of the stored bytes and of the plaintext. Its key is a digest of the run's Secrets: who has them can log in to
// the databases, and nobody else can try what a plaintext might be. Other Secrets, or a volume without the list, make
// all dumps be stored anew once. The tree of the dumps is built as trees/.partial-<run>+databases.
//
// With WriteOptions.ProveLinks a stored file is read before it is linked, and a damaged one is copied from the source
// instead. A tree that would be shared is then built anew, and takes the place of the damaged one if it has its name.
// While a tree is built, JOURNAL in the partial tree lists the stored files with stamps and digests. The next attempt
// of the same run recomputes the digests and keeps the files that agree. Nothing that has its final name is ever
// changed, since it may be linked to an earlier run: what is in the way is removed and made anew.
//
// With WriteOptions.Witness, whatever has the name of a run that was not noted is somebody else's. The beginning of a
// run is removed. What looks like a whole run becomes runs/.aside-<run>, or .aside-<run>.2 and so on: that is no run,
// and its tree stays as long as it does.
//
// # Removing
//
// [Volume.Remove] takes a run's name away, then removes the trees that no run refers to any more, and the run last. An
// interrupted removal leaves runs/.removed-<run> and trees/.removed-<tree>, which the next removal or the next run
// clears. A reader of a run holds a shared lock on its manifest.json, and a run with such a lock is not removed. NFS
// and SMB know of such locks on all nodes.
//
// # In a bucket
//
//	<prefix>/
//	  OWNER                                     the identity of the volume, a line
//	  WRITER                                    what the writer that began last wrote; no part of a backup
//	  blobs/<2 hex>/<sha256>                    each distinct stored file of the file storage, named by its digest
//	  trees/<tree>/MTREE SHA256SUMS files.xattrs    of the dumps, too
//	  runs/<run>/SHA256SUMS secrets/ configmaps/ apimanager/
//	  runs/<run>/manifest.json                  last, by a conditional request
//
// Lists, objects and manifest.json are those of the volume, byte by byte. SHA256SUMS maps a path to its blob; symlinks
// and directories are in MTREE only. Blobs are named by the digests of stored bytes, so encrypted runs share them too.
// There is no index and no lock. What else lies in the bucket, below the prefix too, is neither read nor removed.
//
// A prefix has one writer, which copies first and then removes. OWNER keeps another volume out: it is made by a
// conditional request, so that of two volumes that begin at once one stops. [Bucket.Copy] sends a tree's MTREE, then
// blobs that are missing (by name and size, in a list of all blobs that is made only if there is a tree to send), then
// the tree's SHA256SUMS, meanwhile the objects of the run and its list, then manifest.json. So a tree with a SHA256SUMS has
// all its blobs, a run with a manifest.json has all that it refers to, and an interrupted copy goes on. Each file is
// proven by its digest before or while it is sent. A manifest.json that is there is never replaced. What a bucket has
// lost of a tree that is there is found by verifying, and sent again by a copy with CopyOptions.Mend.
//
// A file of more than 16 MiB goes in parts. An upload that was interrupted stays, and the next copy sends the parts that
// it lacks, by their digests; uploads of blobs that it does not need are ended when it is done. With an object lock a file
// is sent anew, since its lock would be that of when its upload began.
//
// If two writers of one volume meet, the one that began last goes on. Each puts random text of its own into WRITER
// before it goes by what is there, and reads it again before each attempt to write a tree's SHA256SUMS or a
// manifest.json, and before each to delete: when the text is another, it stops with [ErrTakenOver]. A request that was
// sent by then can still arrive. Readers do not look at WRITER.
//
// A copier remembers 20 bytes for each blob, and about a tenth more. So do verifying and removing.
//
// [Bucket.Remove] removes manifest.json, then the rest of the run, then the SHA256SUMS of trees that no run refers to,
// then the blobs that no other tree has, then the rest of those trees. A tree without a run shows the next call what is
// left to do, be it of a removal or of a copy that was interrupted. While a manifest.json cannot be read, nothing but
// runs is removed, and while a list of a tree that stays cannot, no blob. When the manifests that were read are not
// those in a list of all objects of runs, nothing more is removed. The age of an object is not looked at: with one
// writer nothing is on its way then, and times of object stores are not to be relied on.
//
// With an object lock, all that a run refers to is locked for the given period after its copy, at least. What is sent is
// locked for half of it more, and what a run shares with earlier ones is locked anew once less than the period is left.
// The lock of a tree's SHA256SUMS is set last and ends no later than those of its blobs, so it tells of all of them by
// one request.
//
// [Bucket.Fetch] makes a run of the volume out of one in the bucket, with the same manifest.json and hence its place in
// the order. Files that the newest tree of the volume has too are linked.
//
// # File storage in a bucket
//
// With WriteOptions.FilesBucket the files are the objects of a bucket. A key is a path; the directories that keys imply
// have the time 0. Keys that no file can have fail the run, and all of them are named: a slash at either end, two in a
// row, dot segments, more than 255 bytes between slashes, a zero byte, and a key beside keys that begin with it and a
// slash.
//
// Each run lists the bucket. An object with the ETag, the size and the time that it had in the previous tree is linked,
// and no request is made for it: its stamp stands for the ETag. Since an ETag may be a digest of the content, the
// stamps of an encrypted run need a key, the secret key that the bucket is read with; where it is read by a role, the
// time stands in for the ETag, and objects that were written within 15 minutes before the run are read again by the
// next. Other objects are read as they are then: one that was replaced since it was listed has the later content, one
// that is replaced while it is read is read again, and one that has vanished is left out. So each object is of one
// moment, and all of them are not. Only what a list shows is read: in a bucket with versions, the current ones.
//
// The headers that the writer of an object gave it (Content-Type, Content-Disposition, Content-Encoding,
// Content-Language, Cache-Control, Expires and X-Amz-Meta-*) are the attribute user.s3.headers of its file in files.xattrs: a
// line each, sorted. An encrypted run has them as user.s3.headers.age, an age stream for each object, which a run that
// links the file takes over unread. Tags, access control lists and the time of the last change are not restored.
//
// [Run.RestoreToBucket] makes objects of files again, with these headers. The marker of an interrupted restore is an
// object then. Each object is written by one request, on the condition that there is none unless it is to be replaced.
//
// # Restoring
//
// [Run.Restore] writes each file as .threescale-refill-<16 hex>-<n>.tmp in its directory and renames it when its digest
// is proven. Directories get their modes and mtimes last, then all is synced once. From before the first file to after
// the sync, .threescale-refill-<run> lies at the root and names the run and the digest of its manifest: by it the next
// try tells what an interrupted one left from somebody else's data. A file that is there with its content (by digest,
// whatever its mtime) is not written again: only its mode, mtime and owner are put right. A warning names extended
// attributes that the directory cannot hold; the mode gives nobody more than they did. An access control list that the
// source did not have, inherited or there before, is removed, or named in a warning. Only the root keeps the lists of
// its volume, and with them its mode, as it keeps its owner. A file that belongs to another user than its source did
// has no setuid bit, and likewise no setgid bit.
//
// [Run.ExtractDatabases] does the same for dumps, into an empty directory: what it writes belongs to its user, and has
// the modes of MTREE.
package archive
