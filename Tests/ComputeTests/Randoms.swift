import Compute

/// SplitMix64: the same numbers on every run.
struct Randoms: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

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
