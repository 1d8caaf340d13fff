//! Client-side caching: CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO.

use super::collection::{Answer, integer, is, text};
use super::{Call, CommandError};
use crate::session::caching::{Caching, Choice};
use crate::tracking::Tracker;

/// The options of CLIENT TRACKING.
#[derive(Default)]
struct Options {
    redirect: u64,
    broadcasts: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<Box<[u8]>>,
}

impl Options {
    fn parse(call: &Call<'_>) -> Result<Options, CommandError> {
        let args = call.args;
        let mut options = Options::default();
        let mut at = 3;
        while at < args.len() {
            let more = at + 1 < args.len();
            match args.get(at) {
                word if is(word, "REDIRECT") && more => {
                    at += 1;
                    options.redirect = redirect(call, args.get(at), options.redirect)?;
                }
                word if is(word, "PREFIX") && more => {
                    at += 1;
                    options.prefixes.push(args.get(at).into());
                }
                word if is(word, "BCAST") => options.broadcasts = true,
                word if is(word, "OPTIN") => options.opt_in = true,
                word if is(word, "OPTOUT") => options.opt_out = true,
                word if is(word, "NOLOOP") => options.no_loop = true,
                _ => return Err(CommandError::Syntax),
            }
            at += 1;
        }
        Ok(options)
    }

    fn choice(&self) -> Choice {
        match (self.opt_in, self.opt_out) {
            (true, _) => Choice::Asked,
            (_, true) => Choice::NotRefused,
            _ => Choice::All,
        }
    }

    /// Errors: they do not fit each other, or how the session tracks already.
    fn check(&self, now: Option<&Caching>) -> Answer {
        if !self.broadcasts && !self.prefixes.is_empty() {
            return Err(text("ERR PREFIX option requires BCAST mode to be enabled"));
        }
        if now.is_some_and(|now| now.tracker.broadcasts != self.broadcasts) {
            return Err(text(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                 re-enabling it with a different mode.",
            ));
        }
        if self.broadcasts && (self.opt_in || self.opt_out) {
            return Err(text("ERR OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if self.opt_in && self.opt_out {
            return Err(text("ERR You can't specify both OPTIN mode and OPTOUT mode"));
        }
        let before = now.map_or(Choice::All, |now| now.choice);
        if self.opt_in && before == Choice::NotRefused || self.opt_out && before == Choice::Asked {
            return Err(text(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                 re-enabling it with a different mode.",
            ));
        }
        self.check_prefixes(now.map_or(&[], |now| &now.prefixes))
    }

    fn check_prefixes(&self, existing: &[Box<[u8]>]) -> Answer {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let refuse = |prefix: &[u8], kind: &str, other: &[u8]| {
            let (prefix, other) = (String::from_utf8_lossy(prefix), String::from_utf8_lossy(other));
            Err(CommandError::new(format!(
                "ERR Prefix '{prefix}' overlaps with {kind} prefix '{other}'. Prefixes for a single client must not \
                 overlap."
            )))
        };
        for (at, prefix) in self.prefixes.iter().enumerate() {
            if let Some(other) = existing.iter().find(|other| overlap(prefix, other)) {
                return refuse(prefix, "an existing", other);
            }
            if let Some(other) = self.prefixes[at + 1..].iter().find(|other| overlap(prefix, other)) {
                return refuse(prefix, "another provided", other);
            }
        }
        Ok(())
    }
}

/// The session that is to be told instead.
fn redirect(call: &Call<'_>, word: &[u8], before: u64) -> Result<u64, CommandError> {
    if before != 0 {
        return Err(text("ERR A client can only redirect to a single other client"));
    }
    let id = u64::try_from(integer(word)?).unwrap_or(0);
    let known = call.node.sessions.get(id).map(|shared| shared.id);
    known.ok_or(text("ERR The client ID you want redirect to does not exist"))
}

pub(super) fn tracking(call: &mut Call<'_>) -> Answer {
    let options = Options::parse(call)?;
    match call.args.get(2) {
        word if is(word, "ON") => begin(call, options)?,
        word if is(word, "OFF") => call.session.cache_no_more(call.node),
        _ => return Err(CommandError::Syntax),
    }
    call.out.ok();
    Ok(())
}

fn begin(call: &mut Call<'_>, options: Options) -> Answer {
    options.check(call.session.caching.as_deref())?;
    let (node, session) = (call.node, &mut *call.session);
    let choice = options.choice();
    let mut added = options.prefixes;
    if options.broadcasts && added.is_empty() {
        added.push(Box::default()); // every key
    }
    let caching = session.caching.get_or_insert_with(|| {
        let tracker = Tracker::new(session.shared.place, options.broadcasts);
        node.tracking.begin();
        Box::new(Caching { tracker, prefixes: Vec::new(), choice, exception: false })
    });
    (caching.choice, caching.exception) = (choice, false);
    caching.tracker.set(options.redirect, options.no_loop);
    for prefix in added.into_iter().filter(|prefix| !caching.prefixes.contains(prefix)).collect::<Vec<_>>() {
        node.tracking.add_prefix(&caching.tracker, &prefix);
        caching.prefixes.push(prefix);
    }
    session.shared.set_tracker(Some(caching.tracker.clone()));
    session.find_listens();
    node.find_wanted();
    Ok(())
}

pub(super) fn caching(call: &mut Call<'_>) -> Answer {
    let Some(caching) = &mut call.session.caching else {
        return Err(text(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
             enabled",
        ));
    };
    match call.args.get(2) {
        word if is(word, "YES") => {
            if caching.choice != Choice::Asked {
                return Err(text(
                    "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
                ));
            }
        }
        word if is(word, "NO") => {
            if caching.choice != Choice::NotRefused {
                return Err(text(
                    "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
                ));
            }
        }
        _ => return Err(CommandError::Syntax),
    }
    caching.exception = true;
    call.out.ok();
    Ok(())
}

fn redirected(call: &Call<'_>) -> i64 {
    call.session.caching.as_ref().map_or(-1, |caching| caching.tracker.redirect() as i64)
}

pub(super) fn getredir(call: &mut Call<'_>) -> Answer {
    let id = redirected(call);
    call.out.integer(id);
    Ok(())
}

/// The words that say how a session tracks.
fn words(caching: Option<&Caching>) -> Vec<&'static str> {
    let Some(caching) = caching else { return vec!["off"] };
    let (asked, refusing) = (caching.choice == Choice::Asked, caching.choice == Choice::NotRefused);
    [
        (true, "on"),
        (caching.tracker.broadcasts, "bcast"),
        (asked, "optin"),
        (asked && caching.exception, "caching-yes"),
        (refusing, "optout"),
        (refusing && caching.exception, "caching-no"),
        (caching.tracker.is_no_loop(), "noloop"),
        (caching.tracker.is_broken(), "broken_redirect"),
    ]
    .into_iter()
    .filter_map(|(said, word)| said.then_some(word))
    .collect()
}

pub(super) fn trackinginfo(call: &mut Call<'_>) -> Answer {
    let id = redirected(call);
    let caching = call.session.caching.as_deref();
    let words = words(caching);
    let prefixes = caching.map_or(&[][..], |caching| &caching.prefixes);
    let out = &mut *call.out;
    out.map(3);
    out.bulk(b"flags");
    out.set(words.len());
    words.iter().for_each(|word| out.bulk(word.as_bytes()));
    out.bulk(b"redirect");
    out.integer(id);
    out.bulk(b"prefixes");
    out.array(prefixes.len());
    prefixes.iter().for_each(|prefix| out.bulk(prefix));
    Ok(())
}
