package import Container
import Glibc

/// The rotary embedding's frequencies, scaled where the model's are: divided one by one, or by YaRN's interpolation
/// (arXiv 2309.00071, §3.2).
package struct RotaryTable: Sendable {
    package let pairing: ModelConfiguration.Rotary.Pairing
    /// Radians a position, one for each pair: [ropeHeadSize / 2].
    package let frequencies: [Double]
    /// Multiplies cosine and sine.
    package let magnitude: Double

    /// - Parameter rotary: nil for a table that turns nothing.
    package init(_ rotary: ModelConfiguration.Rotary?, headSize: Int) {
        guard let rotary else {
            pairing = .halves
            magnitude = 1
            frequencies = []
            return
        }
        pairing = rotary.pairing
        magnitude = rotary.yarn?.magnitude ?? 1
        frequencies = (0..<headSize / 2).map { pair in
            let plain = pow(rotary.theta, -2 * Double(pair) / Double(headSize))
            if let divisors = rotary.divisors { return plain / Double(divisors[pair]) }
            guard let yarn = rotary.yarn else { return plain }
            let ramp = Self.ramp(pair, yarn, theta: rotary.theta, headSize: headSize)
            return plain * ((1 - ramp) + ramp / yarn.factor)
        }
    }

    /// 0 where a pair turns often enough within the original context to be left alone, 1 where it is interpolated.
    private static func ramp(
        _ pair: Int, _ yarn: ModelConfiguration.Rotary.YaRN, theta: Double, headSize: Int
    ) -> Double {
        /// The pair that turns `rotations` times within the original context.
        func dimension(_ rotations: Double) -> Double {
            Double(headSize) * log(Double(yarn.originalContextLength) / (rotations * 2 * .pi)) / (2 * log(theta))
        }
        var (low, high) = (dimension(yarn.betaFast), dimension(yarn.betaSlow))
        if yarn.hasExactRamp != true { (low, high) = (low.rounded(.down), high.rounded(.up)) }
        (low, high) = (max(low, 0), min(high, Double(headSize - 1)))
        let width = high == low ? 0.001 : high - low
        return min(max((Double(pair) - low) / width, 0), 1)
    }

    /// Cosines and sines of one position, the magnitude included: both [ropeHeadSize / 2].
    package func fill(position: Int, cosines: inout MutableSpan<Float>, sines: inout MutableSpan<Float>) {
        for pair in frequencies.indices {
            let angle = Double(position) * frequencies[pair]
            cosines[pair] = Float(cos(angle) * magnitude)
            sines[pair] = Float(sin(angle) * magnitude)
        }
    }

    /// Turns one head's part in place: [ropeHeadSize].
    package func rotate(_ head: inout MutableSpan<Float>, cosines: Span<Float>, sines: Span<Float>) {
        let half = frequencies.count
        for pair in 0..<half {
            let first = pairing == .interleaved ? 2 * pair : pair
            let second = pairing == .interleaved ? first + 1 : pair + half
            let (x, y) = (head[first], head[second])
            head[first] = x * cosines[pair] - y * sines[pair]
            head[second] = y * cosines[pair] + x * sines[pair]
        }
    }
}
