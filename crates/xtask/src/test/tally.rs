//! Counts tests by reading what they print.

/// How many tests have passed and failed, and which have failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
    pub skipped: u64,
    /// By the names that were given to the program.
    pub left_out: u64,
    pub failures: Vec<String>,
}

impl Tally {
    /// Takes one printed line into account; most say nothing about a count.
    pub fn read(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += number_before(result, " passed");
            self.failed += number_before(result, " failed");
            self.skipped += number_before(result, " ignored");
            self.left_out += number_before(result, " filtered out");
        } else if let Some(name) =
            line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"))
        {
            self.failures.push(name.to_owned());
        }
    }
}

/// The number right before `word`: 12 in `ok. 12 passed; 0 failed`.
fn number_before(text: &str, word: &str) -> u64 {
    let before = text.split_once(word).map_or("", |(before, _)| before);
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_programs_add_up() {
        let printed = "\
running 3 tests
test a ... ok
test b::c ... FAILED
test d - should panic ... ok
test e ... ignored, needs a network
test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.1s
test results are not results
test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 2.00s\r
";
        let mut tally = Tally::default();
        printed.lines().for_each(|line| tally.read(line));
        let failures = vec!["b::c".to_owned()];
        let expected = Tally { passed: 42, failed: 1, skipped: 1, left_out: 7, failures };
        assert_eq!(tally, expected);
    }
}
