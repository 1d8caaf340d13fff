//! The directives of the end of a node: what a signal makes it do first.

use super::directive::{Directive, When, integer, number};

/// How a node ends: what SHUTDOWN says, or a directive for a signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// Saved first, or not; `None` = if there are save points.
    pub saves: Option<bool>,
    /// Replicas that lag are not waited for.
    pub now: bool,
    /// It ends although it could not save.
    pub forced: bool,
}

/// Settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// `shutdown-on-sigterm`.
    pub on_sigterm: Ending,
    /// `shutdown-on-sigint`.
    pub on_sigint: Ending,
    /// `shutdown-timeout`: seconds that replicas have to catch up.
    pub timeout: u64,
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown { on_sigterm: Ending::default(), on_sigint: Ending::default(), timeout: 10 }
    }
}

impl Ending {
    /// Reads the words of a directive.
    fn parse(text: &str) -> Result<Ending, String> {
        let words = text.to_ascii_lowercase();
        if words.split_whitespace().next().is_none() {
            return Err(unknown());
        }
        let (mut ending, mut saves, mut saves_not) = (Ending::default(), false, false);
        for word in words.split_whitespace() {
            match word {
                "default" => {}
                "save" => saves = true,
                "nosave" => saves_not = true,
                "now" => ending.now = true,
                "force" => ending.forced = true,
                _ => return Err(unknown()),
            }
        }
        if saves && saves_not {
            return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
        }
        ending.saves = (saves || saves_not).then_some(saves);
        Ok(ending)
    }

    fn show(self) -> String {
        let words = [
            (self.saves == Some(true), "save"),
            (self.saves == Some(false), "nosave"),
            (self.now, "now"),
            (self.forced, "force"),
        ];
        let said: Vec<&str> = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        if said.is_empty() { "default".into() } else { said.join(" ") }
    }
}

fn unknown() -> String {
    "argument(s) must be one of the following: default, save, nosave, now, force".into()
}

/// The rows.
pub const TABLE: &[Directive] = &[
    Directive {
        name: "shutdown-on-sigterm",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.shutdown.on_sigterm.show(),
        set: |config, text| {
            config.settings.shutdown.on_sigterm = Ending::parse(text)?;
            Ok(())
        },
    },
    Directive {
        name: "shutdown-on-sigint",
        aliases: &[],
        when: When::Always,
        get: |config| config.settings.shutdown.on_sigint.show(),
        set: |config, text| {
            config.settings.shutdown.on_sigint = Ending::parse(text)?;
            Ok(())
        },
    },
    number!("shutdown-timeout", &[], Always, settings.shutdown.timeout, 0, i32::MAX as i64),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_as_they_are_kept() {
        for (given, shown) in [
            ("default", "default"),
            ("default now", "now"),
            ("force NOW nosave", "nosave now force"),
            ("SAVE", "save"),
        ] {
            assert_eq!(Ending::parse(given).unwrap().show(), shown, "{given}");
        }
        assert!(Ending::parse("save nosave").unwrap_err().contains("simultaneously"));
        assert!(Ending::parse("").is_err() && Ending::parse("soon").is_err());
    }
}
