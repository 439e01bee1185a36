//! Matrices with orthonormal rows or columns, for parameters that start as such.

/// Turns a Gaussian matrix, row-major, into one whose columns are orthonormal, or whose rows are if
/// it is wider than high.
///
/// The Gram–Schmidt process on independent Gaussian vectors gives the Q of their QR decomposition
/// with a positive diagonal of R, which is distributed as the orthonormal factor of their singular
/// value decomposition is: uniformly (Stewart 1980). Each vector is made orthogonal twice, which
/// leaves rounding alone (Giraud, Langou and Rozložník 2005).
pub(crate) fn orthonormalise(matrix: &mut [f64], rows: usize, columns: usize) {
    if rows >= columns {
        let mut transposed = transpose(matrix, rows, columns);
        gram_schmidt(&mut transposed, rows);
        matrix.copy_from_slice(&transpose(&transposed, columns, rows));
    } else {
        gram_schmidt(matrix, columns);
    }
}

/// Vectors of `len` elements, one after the other.
fn gram_schmidt(vectors: &mut [f64], len: usize) {
    let count = vectors.len().checked_div(len).unwrap_or(0);
    for index in 0..count {
        let (before, rest) = vectors.split_at_mut(index * len);
        let vector = &mut rest[..len];
        for _ in 0..2 {
            for other in before.chunks_exact(len) {
                let along = dot(other, vector);
                vector.iter_mut().zip(other).for_each(|(x, unit)| *x -= along * unit);
            }
        }
        let norm = dot(vector, vector).sqrt().max(f64::MIN_POSITIVE);
        vector.iter_mut().for_each(|x| *x /= norm);
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

fn transpose(matrix: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| (row, column)))
        .map(|(row, column)| matrix[row * columns + column])
        .collect()
}

#[cfg(test)]
mod tests {
    use rung_kernels::rng::{Address, uniform_at};

    use super::*;

    #[test]
    fn the_shorter_side_is_orthonormal() {
        for (rows, columns) in [(7, 3), (3, 7), (5, 5), (1, 1), (0, 4), (4, 0)] {
            let at = |i| uniform_at(&Address::new(3, 0, 0), i) - 0.5;
            let mut matrix: Vec<f64> = (0..rows * columns).map(at).collect();
            orthonormalise(&mut matrix, rows, columns);
            let vectors = match rows >= columns {
                true => transpose(&matrix, rows, columns),
                false => matrix,
            };
            let len = rows.max(columns);
            for (i, left) in vectors.chunks_exact(len).enumerate() {
                for (j, right) in vectors.chunks_exact(len).enumerate() {
                    let expected = f64::from(u8::from(i == j));
                    let found = dot(left, right);
                    assert!(
                        (found - expected).abs() < 1e-14,
                        "{rows}x{columns}: {i}, {j}: {found}"
                    );
                }
            }
        }
    }
}
