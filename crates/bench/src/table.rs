//! The printed result: a line a measurement.

/// Collects lines and prints them with aligned columns.
#[derive(Default)]
pub struct Table(Vec<[String; 4]>);

impl Table {
    /// A measurement that is to be `goal` at most, in the same unit.
    pub fn at_most(&mut self, what: &str, measured: f64, goal: f64, unit: &str, against: &str) {
        self.goal(what, measured, ("at most", goal, measured <= goal), unit, against);
    }

    /// A measurement that is to be `goal` at least, in the same unit.
    pub fn at_least(&mut self, what: &str, measured: f64, goal: f64, unit: &str, against: &str) {
        self.goal(what, measured, ("at least", goal, measured >= goal), unit, against);
    }

    fn goal(
        &mut self,
        what: &str,
        measured: f64,
        (bound, goal, is_met): (&str, f64, bool),
        unit: &str,
        against: &str,
    ) {
        let met = if is_met { "met" } else { "MISSED" };
        let columns = [
            what.to_owned(),
            format!("{measured:.2} {unit}"),
            format!("{bound} {goal:.2}: {met}"),
            against.to_owned(),
        ];
        self.0.push(columns);
    }

    /// A figure without a goal.
    pub fn figure(&mut self, what: &str, measured: String, against: &str) {
        self.0.push([what.to_owned(), measured, String::new(), against.to_owned()]);
    }

    /// Prints everything to standard output.
    pub fn print(&self) {
        let width = |column: usize| {
            self.0.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let (first, second, third) = (width(0), width(1), width(2));
        for [what, measured, goal, against] in &self.0 {
            println!("{what:<first$}  {measured:>second$}  {goal:<third$}  {against}");
        }
    }
}
