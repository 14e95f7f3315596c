package import Container
import Glibc

/// Turns a token's router logits into its experts and their weights. Everything is computed in f32, and equal values
/// go to the lower index.
///
/// DeepSeek-V2 (arXiv 2405.04434, §2.2) and DeepSeek-V3 (arXiv 2412.19437, §2.1.2): scores are a softmax or a sigmoid
/// of the logits; a selection bias and the limit to a few groups decide *which* experts are taken; the weights come
/// from the unbiased scores. gpt-oss and Granite choose by the logits and take the softmax of what was chosen.
///
/// It borrows its biases, so that passing it on counts no reference: whoever makes one promises that they outlive it and
/// don't change.
@safe package struct Router: @unchecked Sendable {
    // @unchecked: constant views of memory that nobody writes to.

    package let configuration: ModelConfiguration.Router
    package let expertCount: Int
    package let expertsPerToken: Int
    /// e_score_correction_bias [experts]; nil without one.
    let bias: UnsafePointer<Float>?
    /// Added to the logits [experts]; nil without one.
    let logitBias: UnsafePointer<Float>?

    /// - Parameters:
    ///   - bias, logitBias: [experts]
    package init(
        experts: ModelConfiguration.Experts, bias: UnsafePointer<Float>? = nil, logitBias: UnsafePointer<Float>? = nil
    ) {
        configuration = experts.router
        expertCount = experts.routedExpertCount
        expertsPerToken = experts.expertsPerToken
        unsafe self.bias = bias
        unsafe self.logitBias = logitBias
    }

    private var groupCount: Int { max(configuration.groupCount, 1) }
    private var expertsPerGroup: Int { expertCount / groupCount }

    /// Chooses `expertsPerToken` distinct experts, best first.
    ///
    /// - Parameters:
    ///   - scores: [experts]; the logits on entry, the scores on return (with `softmaxOfChosen` the logits are the
    ///     scores).
    ///   - ranking: [experts], scratch.
    ///   - experts: [expertsPerToken], on return the chosen experts.
    ///   - weights: [expertsPerToken], on return their weights.
    package func choose(
        scores: inout MutableSpan<Float>, ranking: inout MutableSpan<Float>, experts: inout MutableSpan<Int32>,
        weights: inout MutableSpan<Float>
    ) {
        score(&scores)
        for expert in 0..<expertCount { ranking[expert] = selectionValue(scores, expert) }
        if configuration.groupsPerToken < groupCount { maskGroups(&ranking) }

        for rank in 0..<expertsPerToken {
            experts[rank] = Int32(truncatingIfNeeded: takeBest(&ranking, in: 0..<expertCount))
        }
        weigh(scores, experts, &weights)
    }

    /// Leaves out experts that have taken as many tokens of a sequence as they have room for (Switch Transformers,
    /// arXiv 2101.03961, §2.2): −1 in their places. Without a capacity there is room for any number.
    ///
    /// - Parameters:
    ///   - experts: what one token chose.
    ///   - uses: [experts]: tokens that each has taken, this one included on return.
    /// - Returns: how many were left out.
    package func leaveOutFull(_ experts: inout MutableSpan<Int32>, uses: inout MutableSpan<Int32>) -> Int {
        guard let capacity = configuration.capacity else { return 0 }
        var dropped = 0
        for rank in experts.indices where experts[rank] >= 0 {
            let expert = Int(experts[rank])
            if uses[expert] >= capacity {
                experts[rank] = -1
                dropped += 1
            } else {
                uses[expert] += 1
            }
        }
        return dropped
    }

    /// What an expert is chosen by. A NaN marks an expert as taken, so one that comes out of damaged weights must not
    /// stay.
    func selectionValue(_ scores: borrowing MutableSpan<Float>, _ expert: Int) -> Float {
        let value = unsafe scores[expert] + (bias?[expert] ?? 0)
        return value.isNaN ? -.infinity : value
    }

    /// The chosen experts' weights, from the unbiased scores; 0 for −1 in an expert's place.
    func weigh(
        _ scores: borrowing MutableSpan<Float>, _ experts: borrowing MutableSpan<Int32>,
        _ weights: inout MutableSpan<Float>
    ) {
        var maximum = -Float.infinity
        for rank in 0..<expertsPerToken where experts[rank] >= 0 { maximum = max(maximum, scores[Int(experts[rank])]) }
        var sum: Float = 0
        for rank in 0..<expertsPerToken {
            weights[rank] = experts[rank] < 0 ? 0 : weight(scores[Int(experts[rank])], maximum)
            sum += weights[rank]
        }
        for rank in 0..<expertsPerToken {
            if configuration.scoring == .softmaxOfChosen {
                weights[rank] /= sum
            } else if configuration.normalizesWeights {
                weights[rank] /= sum + 1e-20
            }
            weights[rank] *= configuration.weightScale
        }
    }

    /// Before anything is divided by the sum.
    private func weight(_ score: Float, _ maximum: Float) -> Float {
        configuration.scoring == .softmaxOfChosen ? exponential(score - maximum) : score
    }

    private func score(_ scores: inout MutableSpan<Float>) {
        if let logitBias = unsafe logitBias {
            for expert in 0..<expertCount { unsafe scores[expert] += logitBias[expert] }
        }
        switch configuration.scoring {
        case .softmaxOfChosen:
            break
        case .sigmoid:
            for expert in 0..<expertCount { scores[expert] = 1 / (1 + exponential(-scores[expert])) }
        case .softmax:
            var maximum = -Float.infinity
            for expert in 0..<expertCount { maximum = max(maximum, scores[expert]) }
            var sum: Float = 0
            for expert in 0..<expertCount {
                scores[expert] = exponential(scores[expert] - maximum)
                sum += scores[expert]
            }
            for expert in 0..<expertCount { scores[expert] /= sum }
        }
    }

    /// Computed in double so that every C library rounds to the same f32.
    private func exponential(_ x: Float) -> Float { Float(exp(Double(x))) }

    /// Minus infinity for every expert outside the best `groupsPerToken` groups.
    ///
    /// A group stays if fewer than that many others beat it. Those that stay are never masked, so masking while
    /// comparing doesn't change a later verdict.
    private func maskGroups(_ ranking: inout MutableSpan<Float>) {
        for group in 0..<groupCount {
            let score = groupScore(ranking, group: group)
            var better = 0
            for other in 0..<groupCount where other != group {
                let otherScore = groupScore(ranking, group: other)
                if otherScore > score || (otherScore == score && other < group) { better += 1 }
            }
            guard better >= configuration.groupsPerToken else { continue }
            for expert in group * expertsPerGroup..<(group + 1) * expertsPerGroup { ranking[expert] = -.infinity }
        }
    }

    private func groupScore(_ ranking: borrowing MutableSpan<Float>, group: Int) -> Float {
        var first = -Float.infinity
        var second = -Float.infinity
        for expert in group * expertsPerGroup..<(group + 1) * expertsPerGroup {
            let value = ranking[expert]
            if value > first {
                second = first
                first = value
            } else if value > second {
                second = value
            }
        }
        switch configuration.groupScore {
        case .maximum: return first
        case .topTwoSum: return expertsPerGroup > 1 ? first + second : first
        }
    }

    /// The expert that ranks highest among those not taken yet, which it then is.
    private func takeBest(_ ranking: inout MutableSpan<Float>, in range: Range<Int>) -> Int {
        var best = -1
        for expert in range where !ranking[expert].isNaN {
            if best < 0 || ranking[expert] > ranking[best] { best = expert }
        }
        precondition(best >= 0, "a token takes no more experts than there are")
        ranking[best] = .nan
        return best
    }
}
