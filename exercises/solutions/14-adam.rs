//! Exercise 14, chapter 8: Adam
//!
//! Write Adam for any number of parameters. Here ε is added to the root of the second moment
//! *before* its bias is corrected, as in the efficient form of the paper's section 2, which Rung
//! uses: step = −rate · √(1 − β₂ᵗ)/(1 − β₁ᵗ) · m/(√v + ε).

pub struct Adam {
    pub rate: f64,
    pub beta_1: f64,
    pub beta_2: f64,
    pub epsilon: f64,
    /// m and v, which begin as zeros, and the number of steps.
    pub first: Vec<f64>,
    pub second: Vec<f64>,
    pub steps: i32,
}

impl Adam {
    /// Moves the parameters once against the gradient.
    pub fn step(&mut self, parameters: &mut [f64], gradient: &[f64]) {
        self.steps += 1;
        let (left_1, left_2) =
            (1.0 - self.beta_1.powi(self.steps), 1.0 - self.beta_2.powi(self.steps));
        let rate = self.rate * left_2.sqrt() / left_1;
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((parameter, gradient), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *m = self.beta_1 * *m + (1.0 - self.beta_1) * gradient;
            *v = self.beta_2 * *v + (1.0 - self.beta_2) * gradient * gradient;
            *parameter -= rate * *m / (v.sqrt() + self.epsilon);
        }
    }
}
