//! How pages put things: times, sizes, prices, the tone of a status.

/// How a status is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// It can be used.
    Good,
    /// Something is being done.
    Busy,
    /// It needs somebody.
    Bad,
}

impl Tone {
    /// Name of the style.
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Busy => "busy",
            Tone::Bad => "bad",
        }
    }
}

/// The tone of a status of the API.
pub(super) fn tone_of(status: &str) -> Tone {
    match status {
        "available" | "active" | "complete" => Tone::Good,
        status
            if status.contains("failed") || status.contains("incompatible") || status == "restore-failed" =>
        {
            Tone::Bad
        }
        _ => Tone::Busy,
    }
}

/// An engine as people call it.
pub(super) fn engine_name(engine: &str) -> &str {
    match engine {
        "redis" => "Redis OSS",
        "valkey" => "Valkey",
        "memcached" => "Memcached",
        other => other,
    }
}

/// Hours that a month is counted with.
const MONTH_HOURS: u64 = 730;

/// USD by the hour.
pub(super) fn hourly(micro_usd: u64) -> String {
    format!("${}.{:04}", micro_usd / 1_000_000, micro_usd % 1_000_000 / 100)
}

/// USD for a month of so many nodes.
pub(super) fn monthly(micro_usd: u64, nodes: u64) -> String {
    let cents = micro_usd.saturating_mul(MONTH_HOURS).saturating_mul(nodes).div_ceil(10_000);
    format!("${}.{:02}", cents / 100, cents % 100)
}

/// Bytes in GiB.
pub(super) fn gib(bytes: u64) -> String {
    let hundredths = (u128::from(bytes) * 100 + (1 << 29)) >> 30;
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    format!("{} GiB", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A time of the API without its fraction: `2026-11-23 02:08:28`.
pub(super) fn moment(time: &str) -> String {
    let (day, rest) = time.split_once('T').unwrap_or((time, ""));
    let clock = rest.split(['.', 'Z']).next().unwrap_or_default();
    format!("{day} {clock}").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_sizes_and_times() {
        assert_eq!(hourly(17_000), "$0.0170");
        assert_eq!(monthly(17_000, 1), "$12.41");
        assert_eq!(monthly(13_600, 3), "$29.79");
        assert_eq!(gib(536_870_912), "0.5 GiB");
        assert_eq!(gib(1 << 30), "1 GiB");
        assert_eq!(moment("2026-11-23T02:08:28.123Z"), "2026-11-23 02:08:28");
        assert_eq!(moment(""), "");
    }

    #[test]
    fn tones() {
        assert_eq!(tone_of("available"), Tone::Good);
        assert_eq!(tone_of("rebooting cluster nodes"), Tone::Busy);
        assert_eq!(tone_of("create-failed"), Tone::Bad);
    }
}
