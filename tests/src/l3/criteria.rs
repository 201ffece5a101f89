//! Promises with a figure each, kept or broken.

use super::{cluster::Setup, lab::Lab, trial::Trial};

/// Where a scenario is played.
#[derive(Clone, Copy)]
pub struct Stage<'a> {
    /// The machines.
    pub lab: &'a Lab,
    /// The program, the load and where logs go.
    pub trial: &'a Trial,
}

impl Stage<'_> {
    /// How nodes are started: with these flags beside the usual ones.
    pub fn setup(&self, flags: &[&str]) -> Setup {
        let flags = ["--log", "info"].iter().chain(flags);
        Setup {
            henge: self.trial.henge.clone(),
            logs: self.trial.logs.clone(),
            flags: flags.map(|it| (*it).to_owned()).collect(),
        }
    }
}

/// What a scenario showed, line by line.
#[derive(Clone, Debug, Default)]
pub struct Criteria {
    lines: Vec<String>,
    broken: u32,
}

impl Criteria {
    /// A figure that must not be above its bound.
    pub fn at_most(&mut self, what: &str, figure: f64, bound: f64, detail: &str) {
        self.line(
            figure <= bound,
            what,
            &format!("{figure:.4} <= {bound}"),
            detail,
        );
    }

    /// A figure that must not be below its bound.
    pub fn at_least(&mut self, what: &str, figure: f64, bound: f64, detail: &str) {
        self.line(
            figure >= bound,
            what,
            &format!("{figure:.6} >= {bound}"),
            detail,
        );
    }

    /// Something of which there must be nothing.
    pub fn none_of(&mut self, what: &str, found: &[String]) {
        let figure = if found.is_empty() { "none" } else { "some" };
        self.line(found.is_empty(), what, figure, &found.join("; "));
    }

    /// Something worth knowing that is no promise.
    pub fn note(&mut self, words: String) {
        self.lines.push(format!("     {words}"));
    }

    fn line(&mut self, kept: bool, what: &str, figure: &str, detail: &str) {
        self.broken += u32::from(!kept);
        let verdict = if kept { "PASS" } else { "FAIL" };
        let detail = if detail.is_empty() {
            String::new()
        } else {
            format!(" ({detail})")
        };
        self.lines
            .push(format!("{verdict} {what}: {figure}{detail}"));
    }

    /// Whether every promise was kept; with none, nothing was shown.
    pub fn are_kept(&self) -> bool {
        self.broken == 0 && self.lines.iter().any(|line| line.starts_with("PASS"))
    }

    /// All lines.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::Criteria;

    #[test]
    fn bounds_are_inclusive_and_one_broken_promise_is_enough() {
        let mut criteria = Criteria::default();
        assert!(!criteria.are_kept(), "nothing was shown");
        criteria.at_most("a", 3.0, 3.0, "");
        criteria.at_least("b", 0.999, 0.999, "");
        criteria.none_of("c", &[]);
        assert!(criteria.are_kept(), "{}", criteria.text());
        criteria.at_most("d", f64::INFINITY, 60.0, "never");
        assert!(!criteria.are_kept());
        assert!(criteria.text().ends_with("FAIL d: inf <= 60 (never)"));
    }

    #[test]
    fn what_is_no_number_is_never_kept() {
        let mut criteria = Criteria::default();
        criteria.at_most("a", f64::NAN, 1.0, "");
        criteria.at_least("b", f64::NAN, 1.0, "");
        criteria.none_of("c", &["x".to_owned()]);
        assert_eq!(criteria.text().matches("FAIL").count(), 3);
    }
}
