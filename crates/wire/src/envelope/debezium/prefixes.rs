//! Which logical messages are told, by their prefixes.

use ductstream_core::{Error, Result};
use regex::Regex;

/// Lists of patterns, of which one has to fit the whole of a prefix, in upper or lower case.
#[derive(Debug, Clone)]
pub(crate) enum Prefixes {
    /// Every message.
    All,
    /// Those whose prefix fits.
    Only(Vec<Regex>),
    /// Those whose prefix does not fit.
    Except(Vec<Regex>),
}

impl Prefixes {
    /// The messages that two options let through.
    ///
    /// # Errors
    /// `Configuration` when both are given, or a pattern is none.
    pub(super) fn new(include: Option<&str>, exclude: Option<&str>) -> Result<Self> {
        match (include, exclude) {
            (None, None) => Ok(Self::All),
            (Some(include), None) => Ok(Self::Only(patterns("message.prefix.include.list", include)?)),
            (None, Some(exclude)) => Ok(Self::Except(patterns("message.prefix.exclude.list", exclude)?)),
            (Some(_), Some(_)) => {
                let message = "message.prefix.include.list and message.prefix.exclude.list are given both";
                Err(Error::configuration(message).with_remedy("keep one of them"))
            }
        }
    }

    pub(super) fn take(&self, prefix: &str) -> bool {
        let fits = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(prefix));
        match self {
            Self::All => true,
            Self::Only(patterns) => fits(patterns),
            Self::Except(patterns) => !fits(patterns),
        }
    }
}

fn patterns(option: &str, list: &str) -> Result<Vec<Regex>> {
    let pattern = |text: &str| {
        Regex::new(&format!("(?i)^(?:{text})$")).map_err(|error| {
            Error::configuration(format!("{option}: {text:?} is no regular expression"))
                .with_source(error)
                .with_remedy("write regular expressions, separated by commas")
        })
    };
    list.split(',').map(str::trim).filter(|text| !text.is_empty()).map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_the_whole_prefix_in_either_case() {
        let only = Prefixes::new(Some("outbox, audit\\..*"), None).unwrap();
        for (prefix, told) in
            [("outbox", true), ("OUTBOX", true), ("outbox2", false), ("audit.login", true), ("audit", false)]
        {
            assert_eq!(only.take(prefix), told, "{prefix}");
        }
        let except = Prefixes::new(None, Some("outbox")).unwrap();
        assert!(except.take("audit") && !except.take("outbox"));
        assert!(Prefixes::new(None, None).unwrap().take(""));
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        let both = Prefixes::new(Some("a"), Some("b")).unwrap_err();
        assert!(both.message().contains("exclude.list"), "{both}");
        let broken = Prefixes::new(None, Some("a,(b")).unwrap_err();
        assert!(broken.message().contains("message.prefix.exclude.list: \"(b\""), "{broken}");
    }
}
