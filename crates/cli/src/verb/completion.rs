//! `completion` and `man`: made from the same definitions that parse the command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::Output;

/// Print the completion script of a shell
#[derive(Args, Debug)]
pub(crate) struct Completion {
    /// Which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completion {
    pub(crate) fn run<C: CommandFactory>(self, output: Output) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut C::command(), "proofmark", &mut script);
        output.document(&script);
        Ok(())
    }
}

/// The manual page, in roff.
pub(crate) fn man<C: CommandFactory>(output: Output) -> Result<(), Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(C::command())
        .render(&mut page)
        .map_err(anyhow::Error::from)?;
    output.document(&page);
    Ok(())
}
