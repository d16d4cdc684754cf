//! What a person can do about a denial, by code.

/// One sentence; empty where the message says it all.
pub(super) fn hint(code: &str) -> &'static str {
    match code {
        "no-policy-matched" => "add a policy whose images cover this one, or run the webhook with --allow-unmatched",
        "image-not-allowed" => "use an image of an allowed registry, or have the policy's owner add this one",
        "image-denied" => "use another image, or have the policy's owner change what it denies",
        "image-missing" => "add a container with an image that the policy wants",
        "list-not-allowed" => "leave the list out of the Pod",
        "object-unknown" => "the policy is about the whole object: give it to `policy test`, or ask the webhook",
        "digest-required" => "write the reference as NAME@sha256:…, or let the mutating webhook pin Pods",
        "unsigned" => {
            "sign it: proofmark release IMAGE, or proofmark sign IMAGE; `proofmark tree IMAGE` shows what is attached"
        }
        "predicate-type-mismatch" | "attestation-missing" => {
            "attach the attestation: proofmark release IMAGE, or proofmark attest --type TYPE IMAGE"
        }
        "key-mismatch" | "signature-not-by-given-key" => {
            "it was signed with another key; check which key the pipeline uses against the policy"
        }
        "subject-mismatch" | "issuer-mismatch" | "github-claim-mismatch" => {
            "it was signed by another identity; compare the workflow, branch or account with the policy"
        }
        "signer-kind-mismatch" => {
            "it is signed by a key where an identity is wanted, or the other way around; change the pipeline or the policy"
        }
        "no-key-given" => "it is signed by a key that no policy names; sign with the signer that the policy wants",
        "no-authority-given" => "the verifier has no trust root; give one to the server",
        "log-entry-missing" => "sign with a transparency log, or set requireLog: false in the policy",
        "timestamp-missing" => "sign with a timestamp authority, or set requireTimestamp: false in the policy",
        "sct-missing" => "the certificate was not logged by a known CT log; check the trust root",
        "signing-time-unproven" => {
            "sign with a timestamp authority: a certificate of ten minutes needs proof of when it was used"
        }
        "annotation-mismatch" => "sign again with the annotation that the policy wants",
        "condition-false" => "what the attestation says does not meet the policy; rebuild the image so that it does",
        "condition-error" => {
            "the policy's condition cannot be evaluated on this attestation; compare the names in it with what the attestation holds"
        }
        "evidence-unreachable" => {
            "the registry did not answer; try again, and look at its status and the credentials of the server"
        }
        "evidence-incomplete" => "part of the evidence could not be read; try again",
        "validation-failed" => {
            "the policy's expression does not hold for this object; its message and what was found say why"
        }
        "image-not-verified" => {
            "have a policy ask for a signature of this image (verifyImageSignatures), or set validationConfigurations.required: false"
        }
        "image-not-gathered" => "an expression may only ask about images that the object names",
        "object-malformed" | "invalid-reference" => "correct the images of the object",
        "too-many-images" => "put the containers into several objects",
        "static-fail" => "the policy denies this image by name",
        "proofs-of-another-digest" => "this is an internal error, please report it",
        _ => "the evidence is damaged or made for something else; sign the image again",
    }
}
