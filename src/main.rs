//! The `adit` command.

use std::process::ExitCode;
use std::time::Duration;

use adit::base::caught;
use adit::telemetry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long the end waits for threads that read files.
const LAST_READS: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = adit::cli::parse();
    let code = match caught(|| start(cli)).unwrap_or_else(|panicked| Err(panicked.into())) {
        Ok(code) => code,
        Err(error) => {
            telemetry::last_words(&format!("adit: {error:#}"));
            adit::app::exit_code(&error)
        }
    };
    telemetry::flush();
    code
}

fn start(cli: adit::cli::Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(adit::app::run(cli));
    runtime.shutdown_timeout(LAST_READS);
    result
}
