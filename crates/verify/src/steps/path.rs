//! Step 6: from the certificate to an authority that is believed, at every time that was found.

use proofmark_types::UnixTime;
use rustls_pki_types::CertificateDer;

use crate::candidate::Candidate;
use crate::certificate::Leaf;
use crate::chain::{self, ChainFailure, Window};
use crate::proof::{LogProof, TimeSource, TimestampProof};
use crate::reason::Reason;
use crate::trust_root::{Authority, Validity};
use crate::verifier::Verifier;

/// The times at which a certificate has to be valid: all of them.
pub(super) struct Times {
    pub(super) at: Vec<(UnixTime, &'static str)>,
    pub(super) source: TimeSource,
    /// Whether anybody but our own clock says so.
    pub(super) vouched: bool,
}

impl Times {
    pub(super) fn of(timestamps: &[TimestampProof], logs: &[LogProof], now: UnixTime) -> Self {
        let stamped = timestamps
            .iter()
            .map(|timestamp| (timestamp.time, TimeSource::TimestampAuthority));
        let promised = logs
            .iter()
            .filter_map(|log| Some((log.integrated_time?, TimeSource::TransparencyLog)));
        let found: Vec<(UnixTime, TimeSource)> = stamped.chain(promised).collect();
        let Some((_, source)) = found.first().copied() else {
            return Self {
                at: vec![(now, TimeSource::CurrentTime.name())],
                source: TimeSource::CurrentTime,
                vouched: false,
            };
        };
        let mut at: Vec<(UnixTime, &'static str)> = found.iter().map(|(at, source)| (*at, source.name())).collect();
        at.dedup_by_key(|(at, _)| *at);
        Self {
            at,
            source,
            vouched: true,
        }
    }
}

/// Where a certificate leads, and at which times.
pub(super) struct Trusted {
    pub(super) issuer_spki: Vec<u8>,
    pub(super) authority: String,
    window: Window,
    validity: Validity,
}

impl Trusted {
    /// Whether it leads there at this time too: the same certificates, all of them valid, the authority believed.
    fn holds(&self, leaf: &Leaf<'_>, at: UnixTime) -> bool {
        self.window.and(leaf.window).check(at).is_ok() && self.validity.contains(at)
    }
}

/// Whether the certificate is of a known authority at all, whenever it was used: asked at the start of its validity.
/// Evidence of strangers ends here, before anything that costs more (a stranger can have any number of genuine
/// timestamps made). What is only outside of some validity then may be inside when it was used, and is left open.
pub(super) fn first_path(
    verifier: &Verifier,
    offered: &Offered<'_>,
    leaf: &Leaf<'_>,
) -> Result<Option<Trusted>, Reason> {
    match path_at(
        verifier,
        leaf,
        offered,
        leaf.window.not_before,
        "the start of its validity",
    ) {
        Ok(trusted) => Ok(Some(trusted)),
        Err(Reason::CertificateOutsideValidity { .. }) => Ok(None),
        Err(reason) => Err(reason),
    }
}

/// The path at every time that was found, all of which must have one.
pub(super) fn check_path(
    verifier: &Verifier,
    offered: &Offered<'_>,
    leaf: &Leaf<'_>,
    first: Option<Trusted>,
    times: &Times,
) -> Result<Trusted, Reason> {
    let mut trusted = first;
    for (at, source_name) in &times.at {
        if trusted.as_ref().is_some_and(|trusted| trusted.holds(leaf, *at)) {
            continue;
        }
        trusted = Some(path_at(verifier, leaf, offered, *at, source_name)?);
    }
    trusted.ok_or(Reason::NoAuthorityGiven)
}

/// Intermediates that came along.
pub(super) struct Offered<'a> {
    certificates: Vec<CertificateDer<'a>>,
    /// Whether the authorities of the trust root take them too: the user said so.
    to_all: bool,
}

/// Intermediates that came along, where the user allowed that or the layout has no other place for them; an anchor
/// among them is not one.
pub(super) fn offered<'a>(verifier: &Verifier, candidate: &Candidate<'a>) -> Offered<'a> {
    let certificates = if verifier.intermediates_from_evidence || candidate.offers_chain {
        candidate
            .intermediates
            .iter()
            .map(|der| CertificateDer::from(der.as_slice()))
            .collect()
    } else {
        Vec::new()
    };
    Offered {
        certificates,
        to_all: verifier.intermediates_from_evidence,
    }
}

/// A path at one time; of several failures the most specific one is told.
fn path_at(
    verifier: &Verifier,
    leaf: &Leaf<'_>,
    offered: &Offered<'_>,
    at: UnixTime,
    source_name: &'static str,
) -> Result<Trusted, Reason> {
    let outside = |detail: String| Reason::CertificateOutsideValidity {
        at,
        source_name,
        detail,
    };
    if let Err(ChainFailure::OutsideValidity(detail)) = leaf.window.check(at) {
        return Err(outside(detail));
    }
    let mut failure = Reason::NoAuthorityGiven;
    for authority in authorities(verifier) {
        match authority.path(leaf, offered, at) {
            Ok(path) => {
                return Ok(Trusted {
                    issuer_spki: path.issuer_spki,
                    authority: authority.name().to_owned(),
                    window: path.window,
                    validity: authority.validity(),
                });
            }
            Err(ChainFailure::OutsideValidity(detail)) => failure = outside(detail),
            Err(ChainFailure::Untrusted(detail)) => {
                if !matches!(failure, Reason::CertificateOutsideValidity { .. }) {
                    failure = Reason::CertificateUntrusted {
                        at,
                        source_name,
                        detail,
                    };
                }
            }
        }
    }
    Err(failure)
}

/// An authority of the trust root, or one's own.
pub(super) enum Believed<'a> {
    Listed(&'a Authority),
    Own(&'a chain::PreparedAuthority),
}

impl Believed<'_> {
    fn path(&self, leaf: &Leaf<'_>, offered: &Offered<'_>, at: UnixTime) -> Result<chain::Path, ChainFailure> {
        let (prepared, takes) = match self {
            Self::Listed(authority) => (&authority.prepared, offered.to_all),
            Self::Own(prepared) => (*prepared, true),
        };
        let offered = if takes { offered.certificates.as_slice() } else { &[] };
        let path = prepared.path(&leaf.der, offered, at, chain::CODE_SIGNING)?;
        // Only an authority that leads to the certificate is worth naming as one that was not believed then.
        if self.validity().contains(at) {
            Ok(path)
        } else {
            Err(ChainFailure::OutsideValidity(format!(
                "the authority {} is not believed at that time",
                self.name()
            )))
        }
    }

    fn validity(&self) -> Validity {
        match self {
            Self::Listed(authority) => authority.validity,
            Self::Own(_) => Validity::default(),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Listed(authority) => authority.name(),
            Self::Own(prepared) => prepared.subject(),
        }
    }
}

/// Where authorities of one's own are named, they stand in place of those of the trust root, whose logs and timestamp
/// authorities go on counting: who names a root of one's own for certificates that say no issuer, asks for any.
pub(super) fn authorities(verifier: &Verifier) -> impl Iterator<Item = Believed<'_>> {
    let listed = verifier
        .trust_root
        .iter()
        .filter(|_| verifier.own_authorities.is_empty())
        .flat_map(|root| root.certificate_authorities().iter().map(Believed::Listed));
    let own = verifier.own_authorities.iter().map(|prepared| Believed::Own(prepared));
    listed.chain(own)
}
