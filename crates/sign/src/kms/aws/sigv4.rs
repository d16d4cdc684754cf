//! AWS Signature Version 4 (AWS General Reference, "Create a signed AWS API request"), for requests whose path needs no
//! encoding of its own: KMS and STS are asked at `/`.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use proofmark_types::UnixTime;

use super::credentials::Credentials;

/// What is signed.
pub(super) struct Request<'r> {
    pub(super) method: &'r str,
    pub(super) path: &'r str,
    /// Names in lower case; `host` and `x-amz-date` must be among them.
    pub(super) headers: &'r [(&'r str, &'r str)],
    pub(super) body: &'r [u8],
}

/// For which service and region, and when.
pub(super) struct Scope<'s> {
    pub(super) region: &'s str,
    pub(super) service: &'s str,
    pub(super) at: UnixTime,
}

/// `20150830T123600Z`: the form of `x-amz-date`.
pub(super) fn stamp(at: UnixTime) -> String {
    at.to_string().replace(['-', ':'], "")
}

/// The value of `authorization`, in the documentation's four steps.
pub(super) fn authorization(request: &Request<'_>, scope: &Scope<'_>, credentials: &Credentials) -> String {
    // 1. The canonical request.
    let mut headers: Vec<(&str, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    headers.sort();
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let canonical = format!(
        "{}\n{}\n\n{lines}\n{names}\n{}",
        request.method,
        request.path,
        hex::encode(digest(&SHA256, request.body))
    );
    // 2. The string to sign.
    let stamp = stamp(scope.at);
    let day = stamp.split('T').next().unwrap_or_default();
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!(
        "AWS4-HMAC-SHA256\n{stamp}\n{place}\n{}",
        hex::encode(digest(&SHA256, canonical.as_bytes()))
    );
    // 3. The signature, with a key for this day, region and service alone.
    let secret = format!("AWS4{}", credentials.secret.expose());
    let key = [day, scope.region, scope.service, "aws4_request"]
        .into_iter()
        .fold(zeroize::Zeroizing::new(secret.into_bytes()), |key, part| {
            zeroize::Zeroizing::new(mac(&key, part).as_ref().to_vec())
        });
    let signature = hex::encode(mac(&key, &text));
    // 4. The header.
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{place}, SignedHeaders={names}, Signature={signature}",
        credentials.id
    )
}

fn mac(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

/// Cases of the "aws-sig-v4-test-suite" that AWS published with the General Reference: their key, day, region
/// (`us-east-1`) and service (`service`), and the example of the reference itself (IAM, ListUsers).
#[cfg(test)]
mod tests {
    use super::*;
    use crate::kms::settings::Secret;

    const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");
    const HOST: (&str, &str) = ("host", "example.amazonaws.com");

    fn sign(method: &str, headers: &[(&str, &str)], body: &str, service: &str) -> String {
        let credentials = Credentials {
            id: "AKIDEXAMPLE".to_owned(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session: None,
            ends: None,
        };
        let request = Request {
            method,
            path: "/",
            headers,
            body: body.as_bytes(),
        };
        let scope = Scope {
            region: "us-east-1",
            service,
            at: UnixTime::parse("2015-08-30T12:36:00Z").unwrap(),
        };
        authorization(&request, &scope, &credentials)
    }

    fn signature(method: &str, headers: &[(&str, &str)], body: &str) -> String {
        let header = sign(method, headers, body, "service");
        header.split_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn get_vanilla_whole() {
        assert_eq!(
            sign("GET", &[HOST, DATE], "", "service"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    #[test]
    fn post_vanilla_and_form() {
        assert_eq!(
            signature("POST", &[HOST, DATE], ""),
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"
        );
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(
            signature("POST", &[form, HOST, DATE], "Param1=value1"),
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        );
    }

    #[test]
    fn headers_are_sorted_and_trimmed() {
        let sorted = signature("GET", &[HOST, ("my-header1", "value4,value1"), DATE], "");
        let shuffled = signature("GET", &[DATE, ("my-header1", "  value4,value1 "), HOST], "");
        assert_eq!(sorted, shuffled);
        // get-header-value-trim
        assert_eq!(
            signature(
                "GET",
                &[HOST, ("my-header1", "value1"), ("my-header2", "\"a b c\""), DATE],
                ""
            ),
            signature(
                "GET",
                &[HOST, ("my-header1", " value1"), ("my-header2", " \"a   b   c\""), DATE],
                ""
            ),
        );
        assert_eq!(
            signature(
                "GET",
                &[HOST, ("my-header1", " value1"), ("my-header2", " \"a   b   c\""), DATE],
                ""
            ),
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"
        );
    }

    #[test]
    fn a_session_token_is_signed() {
        let token = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";
        assert_eq!(
            signature("POST", &[HOST, DATE, ("x-amz-security-token", token)], ""),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
        );
    }

    #[test]
    fn what_is_signed_changes_the_signature() {
        let good = signature("POST", &[HOST, DATE], "body");
        assert_ne!(good, signature("GET", &[HOST, DATE], "body"));
        assert_ne!(good, signature("POST", &[HOST, DATE], "bodY"));
        assert_ne!(
            good,
            signature("POST", &[("host", "example.amazonaws.con"), DATE], "body")
        );
        assert_ne!(good, sign("POST", &[HOST, DATE], "body", "kms"));
    }
}
