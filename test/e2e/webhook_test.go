//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"threescale.dev/backup/test/cluster"
)

// hostAddress is where the API server reaches this process.
const hostAddress = "10.96.0.1"

// webhookProbe is the name of an object that no webhook of ours lets pass.
const webhookProbe = "webhook-probe"

// webhook is a validating admission webhook for one namespace, as a policy
// engine has it. It fails closed.
type webhook struct {
	w      *tenant
	name   string
	denied atomic.Int64
}

// newWebhook has everything that is written in the namespace go through deny,
// which returns why an object is refused, or nothing.
func (w *tenant) newWebhook(deny func(*admissionv1.AdmissionRequest) string) *webhook {
	w.t.Helper()
	h := &webhook{w: w, name: w.namespace + "-policy"}
	server := &http.Server{Handler: h.handler(deny), ReadHeaderTimeout: time.Minute}
	certificate, authority := w.certificate()
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	listener, err := net.Listen("tcp", net.JoinHostPort(hostAddress, "0"))
	require.NoError(w.t, err)
	go func() { _ = server.ServeTLS(listener, "", "") }() // ends with Close
	w.t.Cleanup(func() { _ = server.Close() })
	w.t.Cleanup(h.remove)
	url := "https://" + listener.Addr().String() + "/"
	fail, none, everywhere := admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone, admissionregistrationv1.NamespacedScope
	require.NoError(w.t, shared.Client().Create(w.t.Context(), &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: h.name},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    "policy.example.com",
			AdmissionReviewVersions: []string{"v1"},
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: authority},
			FailurePolicy:           &fail,
			SideEffects:             &none,
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.namespace}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{"", "batch"}, APIVersions: []string{"*"}, Scope: &everywhere,
					Resources: []string{"secrets", "configmaps", "jobs"},
				},
			}},
		}},
	}))
	h.awaitActive()
	return h
}

func (h *webhook) handler(deny func(*admissionv1.AdmissionRequest) string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
			http.Error(rw, "cannot read the review", http.StatusBadRequest)
			return
		}
		why := "this is only a probe"
		if review.Request.Name != webhookProbe {
			why = deny(review.Request)
		}
		response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: why == ""}
		if why != "" {
			response.Result = &metav1.Status{Message: why}
			if review.Request.Name != webhookProbe {
				h.denied.Add(1)
			}
		}
		review.Request, review.Response = nil, response
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(review) // a client that is gone needs no answer
	}
}

// awaitActive waits until the API server asks the webhook.
func (h *webhook) awaitActive() {
	h.w.t.Helper()
	h.w.eventually("the webhook to be asked", func(ctx context.Context) error {
		if h.probe(ctx) == nil {
			return errors.New("the probe was let in")
		}
		return nil
	})
}

// probe tries to create an object that the webhook refuses.
func (h *webhook) probe(ctx context.Context) error {
	probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.w.namespace, Name: webhookProbe}}
	return shared.Client().Create(ctx, probe, client.DryRunAll)
}

// remove deletes the webhook, and waits until the API server asks it no more.
func (h *webhook) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: h.name}}
	err := client.IgnoreNotFound(shared.Client().Delete(ctx, configuration))
	if err == nil {
		err = cluster.Eventually(ctx, patience, "the webhook to be forgotten", h.probe)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		h.w.t.Error(err)
	}
}

// certificate is one for the webhook's server, and the authority that vouches
// for it: itself.
func (w *tenant) certificate() (tls.Certificate, []byte) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(w.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.ParseIP(hostAddress)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(w.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
