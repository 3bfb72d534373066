//! The printed result: a line a measurement.

/// Collects lines and prints them with aligned columns.
#[derive(Default)]
pub struct Table(Vec<[String; 4]>);

impl Table {
    /// A measurement with a goal: `goal` is the largest `measured` that meets it, in the same unit.
    pub fn goal(&mut self, what: &str, measured: f64, goal: f64, unit: &str, against: &str) {
        let met = if measured <= goal { "met" } else { "MISSED" };
        let columns = [
            what.to_owned(),
            format!("{measured:.2} {unit}"),
            format!("at most {goal:.2}: {met}"),
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
