//! The log on standard error while a command runs: warnings, and more with `-v`.
//!
//! The formatter is made when there is something to write. Made at once, it would cost every command 12
//! page faults, and most commands have nothing to say.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, Subscriber};
use tracing::{Event, Level, Metadata};

/// Starts to log what is at least as important as asked for.
pub(super) fn start(verbose: u8) {
    let level = match verbose {
        0 => Level::WARN,
        1 => Level::INFO,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let log = Log { level, colours: std::io::stderr().is_terminal(), writer: OnceLock::new() };
    // It fails only if there is a log already.
    let _ = tracing::subscriber::set_global_default(log);
}

type Writer = Box<dyn Subscriber + Send + Sync>;

/// Makes the formatter at the first message.
struct Log {
    level: Level,
    colours: bool,
    writer: OnceLock<Writer>,
}

impl Log {
    fn writer(&self) -> &Writer {
        self.writer.get_or_init(|| {
            let writer = tracing_subscriber::fmt()
                .with_max_level(self.level)
                .with_writer(std::io::stderr)
                .with_ansi(self.colours)
                .with_target(false)
                .without_time()
                .log_internal_errors(false);
            Box::new(writer.finish())
        })
    }
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.into())
    }

    fn event(&self, event: &Event<'_>) {
        self.writer().event(event);
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.writer().new_span(span)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.writer().record(span, values);
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.writer().record_follows_from(span, follows);
    }

    fn enter(&self, span: &Id) {
        self.writer().enter(span);
    }

    fn exit(&self, span: &Id) {
        self.writer().exit(span);
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.writer().clone_span(span)
    }

    fn try_close(&self, span: Id) -> bool {
        self.writer().try_close(span)
    }
}
