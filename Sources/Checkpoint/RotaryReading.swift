import Container
import Glibc
import JSON

/// Reads the rotary embedding's keys, in the older spelling (`rope_theta` beside `rope_scaling` with `type`) and the
/// newer one (all in `rope_parameters`, with `rope_type`).
struct RotaryReading {
    private var rotary: ModelConfiguration.Rotary
    private var frequencies: FrequencyScaling?
    /// m(factor, mscale_all_dim)², by which latent attention multiplies the softmax scale; 1 without YaRN.
    var softmaxFactor: Double
    /// The part of a head that is rotated.
    var partialFactor: Double
    private let takesPartialFactor: Bool

    /// - Parameters:
    ///   - defaultTheta: where the configuration has none; nil: it must.
    ///   - partialFactor: the part of a head that is rotated where the configuration doesn't say; nil: always all of it.
    init(
        _ reader: ConfigurationReader, contextLength: Int, pairing: ModelConfiguration.Rotary.Pairing,
        defaultTheta: Double? = nil, partialFactor: Double? = nil
    ) throws(CheckpointError) {
        takesPartialFactor = partialFactor != nil
        self.partialFactor = partialFactor ?? 1
        if reader.has("rope_parameters"), reader.has("rope_scaling") {
            throw reader.failure("rope_scaling", "given together with rope_parameters", expected: "one of the two")
        }
        let outerTheta = try reader.numberIfPresent("rope_theta")
        let newer = try reader.object("rope_parameters")
        let older = try reader.object("rope_scaling")
        let scaling = newer ?? older
        let innerTheta = try scaling?.numberIfPresent("rope_theta")
        if let outerTheta, let innerTheta, outerTheta != innerTheta {
            throw reader.failure(
                "rope_theta", "two values that differ", expected: "\(innerTheta)", found: .number(outerTheta))
        }
        guard let theta = innerTheta ?? outerTheta ?? defaultTheta else {
            throw reader.failure("rope_theta", "this key is missing")
        }
        rotary = .init(theta: theta, pairing: pairing, yarn: nil)
        softmaxFactor = 1
        if takesPartialFactor, let factor = try reader.numberIfPresent("partial_rotary_factor", atMost: 1) {
            self.partialFactor = factor
        }
        if let scaling { try readScaling(scaling, contextLength: contextLength) }
    }

    /// - Parameter headSize: the rotated part of a head.
    func rotary(headSize: Int) -> ModelConfiguration.Rotary {
        var rotary = rotary
        rotary.divisors = frequencies?.divisors(theta: rotary.theta, headSize: headSize)
        return rotary
    }

    private mutating func readScaling(
        _ scaling: ConfigurationReader, contextLength: Int
    ) throws(CheckpointError) {
        let accepted = ["yarn", "linear", "llama3", "default"]
        let newerType = try scaling.name("rope_type", accepted: accepted)
        let olderType = try scaling.name("type", accepted: accepted)
        if let newerType, let olderType, newerType != olderType {
            throw scaling.failure("type", "differs from rope_type", expected: newerType, found: .string(olderType))
        }
        if takesPartialFactor, let factor = try scaling.numberIfPresent("partial_rotary_factor", atMost: 1) {
            partialFactor = factor
        }
        // Changes the frequencies in a way that no released model of the other families uses.
        try scaling.mustBe("partial_rotary_factor", .integer(1))
        switch newerType ?? olderType {
        case "yarn": try readYaRN(scaling, contextLength: contextLength)
        case "default": try scaling.mustBe("truncate", .bool(true))
        case let type?: frequencies = try FrequencyScaling(type, scaling)
        case nil:
            throw scaling.failure(
                "rope_type", "this key is missing", expected: accepted.map { "\"\($0)\"" }.joined(separator: " or "))
        }
        try scaling.finish()
    }

    private mutating func readYaRN(_ scaling: ConfigurationReader, contextLength: Int) throws(CheckpointError) {
        let factor = try scaling.number("factor")
        // Absent, all of these have the values that the reference implementation gives them.
        let betaFast = try scaling.numberIfPresent("beta_fast") ?? 32
        let betaSlow = try scaling.numberIfPresent("beta_slow") ?? 1
        let scale = try scaling.numberIfPresent("mscale", orZero: true) ?? 0
        let scaleOfAll = try scaling.numberIfPresent("mscale_all_dim", orZero: true) ?? 0
        let attentionFactor = try scaling.numberIfPresent("attention_factor")
        let original =
            try scaling.countIfPresent("original_max_position_embeddings", in: 1...1 << 30) ?? contextLength
        // One of the two alone changes nothing here.
        let magnitude =
            scale == 0 || scaleOfAll == 0
            ? Self.magnitude(factor, 1) : Self.magnitude(factor, scale) / Self.magnitude(factor, scaleOfAll)
        rotary.yarn = .init(
            factor: factor, originalContextLength: original, betaFast: betaFast, betaSlow: betaSlow,
            magnitude: attentionFactor ?? magnitude)
        if try scaling.boolIfPresent("truncate") == false { rotary.yarn?.hasExactRamp = true }
        let softmaxMagnitude = Self.magnitude(factor, scaleOfAll)
        softmaxFactor = softmaxMagnitude * softmaxMagnitude
    }

    /// m(f, s) of YaRN (arXiv 2309.00071, §3.4) as DeepSeek generalised it: 1 up to factor 1, else 0.1·s·ln f + 1.
    static func magnitude(_ factor: Double, _ scale: Double) -> Double {
        factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
    }
}
