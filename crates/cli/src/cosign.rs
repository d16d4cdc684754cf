//! The name `cosign`: invoked through a link of that name, the program takes cosign's command line and answers in
//! cosign's shapes.

/// Whose command line this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Our own.
    #[default]
    Proofmark,
    /// That of cosign 3.1: its defaults and its output.
    #[expect(dead_code, reason = "the name cosign is the next step")]
    Cosign,
}
