package job

// Where a Job mounts what it needs for a bucket.
const (
	// BucketCredentialsPath has the files of the Secret with the credentials.
	BucketCredentialsPath = "/bucket/credentials" //nolint:gosec // a folder
	// BucketCAPath has ca.crt.
	BucketCAPath = "/bucket/ca"
	// BucketProxyPath has address, username and password.
	BucketProxyPath = "/bucket/proxy"
	// BucketTokenPath has the token of the pod's ServiceAccount in the file token.
	BucketTokenPath = "/bucket/identity"
	// FileBucketTokenPath has such a token for the bucket of the System file storage.
	FileBucketTokenPath = "/file-bucket/identity" //nolint:gosec // a folder
	// FileBucketSecretsPath has <name of a Secret>/<key> of the Secret that leads to that
	// bucket, in a restore that does not take the one in the run.
	FileBucketSecretsPath = "/file-bucket/secrets" //nolint:gosec // a folder
)

// FileBucketOptions say on the command lines of a restore how the mover logs in to the bucket
// of the System file storage, which the APIManager of the run names.
type FileBucketOptions struct {
	FileBucket        bool   `optional:"" help:"The System file storage is the bucket that the run's APIManager names, if it names one."`
	FileBucketToken   string `optional:"" help:"Folder with the token that is exchanged for a role of that bucket, in the file token." type:"path"`
	FileBucketSecrets string `optional:"" help:"Folder with a folder of the Secret that leads to that bucket, with a file for each key; without it, the run's Secret is meant." type:"path"`
}

// BucketOptions names a bucket on the command lines of the mover. No value is secret:
// credentials are in files below the given folders, under the names that
// v1alpha1.Bucket tells.
type BucketOptions struct {
	Provider    string `optional:"" name:"bucket-provider" help:"Kind of the object store: generic or aws."`
	Endpoint    string `optional:"" name:"bucket-endpoint" help:"Host of the object store, with its port."`
	Bucket      string `optional:"" name:"bucket" help:"Name of the bucket; in place of a volume."`
	Prefix      string `optional:"" name:"bucket-prefix" help:"Where in the bucket the runs are."`
	Region      string `optional:"" name:"bucket-region" help:"Region of the bucket."`
	Insecure    bool   `optional:"" name:"bucket-insecure" help:"Speak HTTP without TLS."`
	Checksums   string `optional:"" name:"bucket-checksums" help:"Checksums of requests: SHA256 or None."`
	Credentials string `optional:"" name:"bucket-credentials" help:"Folder with the files accesskey and secretkey, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY." type:"path"`
	CA          string `optional:"" name:"bucket-ca" help:"Folder with ca.crt." type:"path"`
	Proxy       string `optional:"" name:"bucket-proxy" help:"Folder with the files address, username and password of an HTTP proxy." type:"path"`
	RoleARN     string `optional:"" name:"bucket-role-arn" help:"Role to assume with the token of the ServiceAccount."`
	Token       string `optional:"" name:"bucket-token" help:"Folder with that token, in the file token." type:"path"`
	STSEndpoint string `optional:"" name:"bucket-sts-endpoint" help:"URL of the security token service."`
}
