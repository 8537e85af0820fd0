//! One thread to follow: the trace context that travels from a request to the runs it caused.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing_opentelemetry::OpenTelemetrySpanExt;

tokio::task_local! {
    static CURRENT: Trace;
}

/// A W3C trace context. Jobs store it, so that a run belongs to the trace of the request that pushed it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    trace_id: TraceId,
    span_id: SpanId,
    sampled: bool,
}

impl Trace {
    /// A trace that begins here.
    #[expect(clippy::new_without_default, reason = "two traces made by default would differ")]
    pub fn new() -> Self {
        Self {
            // Zero means "invalid" in the standard.
            trace_id: TraceId::from(rand::random_range(1..=u128::MAX)),
            span_id: SpanId::from(rand::random_range(1..=u64::MAX)),
            sampled: true,
        }
    }

    /// The trace of a job that nobody's trace has led to.
    pub(crate) fn of_job(job: uuid::Uuid) -> Self {
        let (trace, span) = (job.as_u128(), job.as_u64_pair().1);
        Self { trace_id: TraceId::from(trace), span_id: SpanId::from(span), sampled: true }
    }

    /// Reads a `traceparent` header. Anything malformed is nobody's trace.
    pub fn parse(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.trim().splitn(5, '-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Version 0 has exactly four parts; later ones may add some.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        hex(version, 2)?;
        let trace_id = TraceId::from(hex(trace, 32)?);
        let span_id = SpanId::from(u64::try_from(hex(span, 16)?).ok()?);
        let sampled = hex(flags, 2)? & 1 == 1;
        let valid = trace_id != TraceId::INVALID && span_id != SpanId::INVALID;
        valid.then_some(Self { trace_id, span_id, sampled })
    }

    /// The trace of the surrounding scope. With an exporter at work, its innermost span is the parent.
    pub fn current() -> Option<Self> {
        let context = tracing::Span::current().context();
        let span = context.span().span_context().clone();
        if span.is_valid() {
            return Some(Self {
                trace_id: span.trace_id(),
                span_id: span.span_id(),
                sampled: span.is_sampled(),
            });
        }
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs `future` within this trace: what it pushes carries it on.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// The trace's id: 32 hexadecimal digits, the same in logs, answers and exported traces.
    pub fn id(&self) -> String {
        self.trace_id.to_string()
    }

    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }

    /// Makes this trace the parent of `span` for an exporter; without one it does nothing.
    pub fn adopt(&self, span: &tracing::Span) {
        let context = opentelemetry::Context::new().with_remote_span_context(self.remote());
        // It fails only when nothing exports, or when the span has already been given out.
        let _ = span.set_parent(context);
    }

    /// Tells an exporter that `span` works for this trace among others.
    pub(crate) fn link(&self, span: &tracing::Span) {
        span.add_link(self.remote());
    }

    fn remote(&self) -> SpanContext {
        let flags = if self.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        SpanContext::new(self.trace_id, self.span_id, flags, true, TraceState::default())
    }
}

/// The value of exactly `digits` lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let clean = text.len() == digits
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    clean.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_printed_alike() {
        let trace = Trace::parse(PARENT).unwrap();
        assert_eq!(trace.id(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.traceparent(), PARENT);
        let new = Trace::new();
        assert_eq!(Trace::parse(&new.traceparent()), Some(new));
    }

    #[test]
    fn a_malformed_traceparent_is_nobodys() {
        for bad in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_scope_is_seen_inside_and_not_outside() {
        let trace = Trace::new();
        let inside = trace.clone().scope(async { Trace::current() }).await;
        assert_eq!(inside, Some(trace));
        assert_eq!(Trace::current(), None);
    }
}
