// Package sops encrypts manifests of Secrets and ConfigMaps as SOPS does, for age recipients or by the creation rules of a repository's
// .sops.yaml, such that kustomize can still build them and Flux can decrypt them: kustomize-controller decrypts an object of any kind that
// has SOPS' own data at its top level (its internal/decryptor, DecryptResource).
//
// What comes out was read again and compared before it is returned: every value below data, stringData and binaryData is encrypted,
// decrypts to what went in, and nothing else has changed. A rule that would do otherwise is refused.
//
// Nothing here uses the network, starts a program or reads the environment: the only key service is age itself, and rules
// are decoded here, because SOPS' own loader asks Azure for the version of a key while it reads the rule. What SOPS does when it
// is linked in is beyond us: it reads /etc/sops/audit.yaml, and connects to the PostgreSQL that an administrator named there.
package sops
