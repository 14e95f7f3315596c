import Compute
import TestSupport

/// The same numbers on every run.
struct Randoms: RandomNumberGenerator {
    private var source: SplitMix

    init(seed: UInt64) { source = SplitMix(seed: seed) }

    mutating func next() -> UInt64 { source.next() }

    mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in Float.random(in: range, using: &self) }
    }
}

extension Array<Float> {
    /// Compared by bits, so that a difference in the last place shows.
    var bits: [UInt32] { map { $0.isNaN ? 0x7fc0_0000 : $0.bitPattern } }
}

/// ‖x − reference‖₂ / ‖reference‖₂
func relativeDistance(_ x: [Float], _ reference: [Double]) -> Double {
    let error = zip(x, reference).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
    let norm = reference.reduce(0) { $0 + $1 * $1 }
    return norm == 0 ? error.squareRoot() : (error / norm).squareRoot()
}
