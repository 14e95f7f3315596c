import Glibc
import JSON

/// Ways to stretch the rotary embedding that divide each pair's frequency by a number.
enum FrequencyScaling: Sendable {
    /// All alike (arXiv 2306.15595).
    case linear(factor: Float)
    /// Llama 3.1's: wavelengths beyond `original / low` are divided by the factor, those below `original / high` by nothing,
    /// and from the one to the other there is a ramp.
    case ramp(factor: Float, low: Float, high: Float, original: Float)

    /// Reads what `linear` and `llama3` need.
    init(_ type: String, _ scaling: ConfigurationReader) throws(CheckpointError) {
        let factor = Float(try scaling.number("factor"))
        guard type == "llama3" else {
            self = .linear(factor: factor)
            return
        }
        let low = Float(try scaling.number("low_freq_factor"))
        let high = Float(try scaling.number("high_freq_factor"))
        guard high > low else {
            throw scaling.failure(
                "high_freq_factor", "not a value that can be right", expected: "more than low_freq_factor",
                found: .number(Double(high)))
        }
        let original = try scaling.count("original_max_position_embeddings", in: 1...1 << 30)
        self = .ramp(factor: factor, low: low, high: high, original: Float(original))
    }

    /// One for each pair of a head: [headSize / 2]. In binary32, as the reference computes them.
    func divisors(theta: Double, headSize: Int) -> [Float] {
        (0..<headSize / 2).map { pair in
            switch self {
            case .linear(let factor): return factor
            case .ramp(let factor, let low, let high, let original):
                let frequency = 1 / Float(pow(theta, Double(Float(2 * pair) / Float(headSize))))
                let wavelength = Float(2 * Double.pi) / frequency
                if wavelength < original / high { return 1 }
                if wavelength > original / low { return factor }
                let smooth = (original / wavelength - low) / (high - low)
                return 1 / ((1 - smooth) / factor + smooth)
            }
        }
    }
}
