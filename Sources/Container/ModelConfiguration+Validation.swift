import Compute

/// A value of the configuration that no model has.
package struct ConfigurationProblem: Sendable, Equatable {
    /// As it is spelt in the metadata, such as `experts.router.groupCount`.
    package let field: String
    package let expected: String
    package let found: String
}

extension ModelConfiguration {
    /// The first value that is outside what a model can have, or nil. What passes can be multiplied freely: every
    /// tensor's size, and the number of them, fits in 62 bits.
    package var problem: ConfigurationProblem? {
        var check = ConfigurationCheck()
        check.label("family", family)
        check.range("vocabularySize", vocabularySize, 1...1 << 24)
        check.range("hiddenSize", hiddenSize, 1...1 << 20)
        check.range("layerCount", layerCount, 1...1 << 16)
        check.range("contextLength", contextLength, 1...1 << 28)
        check.positive("normEpsilon", Double(normEpsilon), below: 1)
        switch attention {
        case .latent(let attention): attention.check(&check)
        case .grouped(let attention):
            attention.check(&check)
            if let window = attention.window {
                check.range("attention.window.length", window.length, 1...1 << 28)
                check.range("attention.window.layers.count", window.layers.count, layerCount...layerCount)
            }
        case .relative(let attention): attention.check(&check)
        }
        check.require(
            "clamp", (clamp != nil) == (activation == .clamped), "one with the activation clamped, and no other",
            clamp == nil ? "none" : "one")
        if let clamp {
            check.positive("clamp.slope", Double(clamp.slope), below: 1e6)
            check.positive("clamp.limit", Double(clamp.limit), below: 1e30)
        }
        checkPositions(&check)
        check.range("sparseLayers.count", sparseLayers.count, layerCount...layerCount)
        check.range("denseIntermediateSize", denseIntermediateSize, (sparseLayers.contains(false) ? 1 : 0)...1 << 24)
        if let experts {
            experts.check(&check)
            check.require(
                "experts.hasBiases", experts.hasBiases != true || clamp != nil, "biases only with a clamped activation",
                "others")
            check.require("sparseLayers", sparseLayers.contains(true), "a sparse layer, for there are experts", "none")
        } else {
            check.require("experts", !sparseLayers.contains(true), "experts, for there are sparse layers", "none")
        }
        check.range("endTokens.count", endTokens.count, 0...1024)
        if let predictionLayers { check.range("predictionLayers.count", predictionLayers.count, 1...64) }
        guard check.problem == nil else { return check.problem }
        if let encoder {
            check.range("encoder.startToken", encoder.startToken, 0...vocabularySize - 1)
            check.positive("encoder.outputScale", Double(encoder.outputScale), below: 1e6)
        }
        if let beginToken { check.range("beginToken", beginToken, 0...vocabularySize - 1) }
        for token in endTokens { check.range("endTokens", token, 0...vocabularySize - 1) }
        return check.problem
    }

    /// Relative attention is an encoder-decoder's, and the other kinds rotate.
    private func checkPositions(_ check: inout ConfigurationCheck) {
        guard case .relative = attention else {
            check.require(
                "rotary", rotary != nil, "a rotary embedding, for the attention has no other positions", "none")
            check.require("encoder", encoder == nil, "none, for the attention isn't an encoder-decoder's", "an encoder")
            rotary?.check(&check, pairCount: (attention.ropeHeadSize ?? 0) / 2)
            return
        }
        check.require("rotary", rotary == nil, "none, for the attention is relative", "a rotary embedding")
        check.require("encoder", encoder != nil, "an encoder, for the attention is relative", "none")
        guard let encoder else { return }
        check.require(
            "encoder.layerCount", (1..<max(1, layerCount)).contains(encoder.layerCount),
            "1 to \(layerCount - 1), for the decoder has layers too", "\(encoder.layerCount)")
    }
}

extension ModelConfiguration.RelativeAttention {
    fileprivate func check(_ check: inout ConfigurationCheck) {
        check.range("attention.headCount", headCount, 1...1 << 12)
        check.range("attention.headSize", headSize, 1...1 << 13)
        check.range("attention.bucketCount", bucketCount, 4...1 << 12)
        // Half of the buckets, or a quarter, are for a distance each.
        check.range("attention.greatestDistance", greatestDistance, bucketCount...1 << 16)
    }
}

extension ModelConfiguration.LatentAttention {
    fileprivate func check(_ check: inout ConfigurationCheck) {
        check.range("attention.headCount", headCount, 1...1 << 12)
        if let queryLatentRank { check.range("attention.queryLatentRank", queryLatentRank, 1...1 << 20) }
        check.range("attention.keyValueLatentRank", keyValueLatentRank, 1...Kernels.attentionKeyColumns / 2)
        check.range("attention.plainHeadSize", plainHeadSize, 1...Kernels.attentionKeyColumns / 2)
        check.range("attention.ropeHeadSize", ropeHeadSize, 2...Kernels.attentionKeyColumns / 2)
        check.require("attention.ropeHeadSize", ropeHeadSize % 2 == 0, "an even number", "\(ropeHeadSize)")
        check.range("attention.valueHeadSize", valueHeadSize, 1...1 << 13)
        check.positive("attention.latentNormEpsilon", Double(latentNormEpsilon), below: 1)
        check.positive("attention.softmaxScale", Double(softmaxScale), below: 1e6)
    }
}

extension ModelConfiguration.GroupedAttention {
    fileprivate func check(_ check: inout ConfigurationCheck) {
        check.range("attention.headCount", headCount, 1...1 << 12)
        check.range("attention.keyValueHeadCount", keyValueHeadCount, 1...max(1, headCount))
        check.require(
            "attention.keyValueHeadCount", headCount % max(1, keyValueHeadCount) == 0,
            "a divisor of the \(headCount) heads", "\(keyValueHeadCount)")
        check.range("attention.headSize", headSize, 2...Kernels.attentionKeyColumns)
        check.range("attention.ropeHeadSize", ropeHeadSize, 2...max(2, headSize))
        check.require("attention.ropeHeadSize", ropeHeadSize % 2 == 0, "an even number", "\(ropeHeadSize)")
        check.positive("attention.softmaxScale", Double(softmaxScale), below: 1e6)
    }
}

extension ModelConfiguration.Rotary {
    fileprivate func check(_ check: inout ConfigurationCheck, pairCount: Int) {
        check.positive("rotary.theta", theta, below: 1e15)
        if let divisors {
            check.range("rotary.divisors.count", divisors.count, pairCount...pairCount)
            for divisor in divisors { check.positive("rotary.divisors", Double(divisor), below: 1e9) }
            check.require("rotary.divisors", yarn == nil, "either these or yarn", "both")
        }
        guard let yarn else { return }
        check.positive("rotary.yarn.factor", yarn.factor, below: 1e9)
        check.range("rotary.yarn.originalContextLength", yarn.originalContextLength, 1...1 << 28)
        check.positive("rotary.yarn.betaSlow", yarn.betaSlow, below: 1e9)
        check.positive("rotary.yarn.betaFast", yarn.betaFast, below: 1e9)
        check.positive("rotary.yarn.magnitude", yarn.magnitude, below: 1e6)
    }
}

extension ModelConfiguration.Experts {
    fileprivate func check(_ check: inout ConfigurationCheck) {
        check.range("experts.routedExpertCount", routedExpertCount, 1...1 << 16)
        check.range("experts.expertsPerToken", expertsPerToken, 1...max(1, routedExpertCount))
        check.range("experts.intermediateSize", intermediateSize, 1...1 << 20)
        check.range("experts.sharedIntermediateSize", sharedIntermediateSize, 0...1 << 24)
        check.positive("experts.router.weightScale", Double(router.weightScale), below: 1e6)
        if let capacity = router.capacity { check.range("experts.router.capacity", capacity, 1...1 << 30) }
        check.range("experts.router.groupCount", router.groupCount, 1...max(1, routedExpertCount))
        check.range("experts.router.groupsPerToken", router.groupsPerToken, 1...max(1, router.groupCount))
        guard check.problem == nil else { return }
        let perGroup = routedExpertCount / router.groupCount
        check.require(
            "experts.router.groupCount", routedExpertCount % router.groupCount == 0,
            "a divisor of the \(routedExpertCount) experts", "\(router.groupCount)")
        check.require(
            "experts.router.groupsPerToken", router.groupsPerToken * perGroup >= expertsPerToken,
            "enough groups for \(expertsPerToken) experts", "\(router.groupsPerToken) groups of \(perGroup)")
        check.require(
            "experts.router.groupScore", router.groupCount == 1 || router.groupScore == .maximum || perGroup >= 2,
            "groups of two experts or more", "groups of \(perGroup)")
    }
}

/// Keeps the first problem of many checks.
struct ConfigurationCheck {
    private(set) var problem: ConfigurationProblem?

    mutating func require(_ field: String, _ holds: Bool, _ expected: String, _ found: String) {
        guard problem == nil, !holds else { return }
        problem = ConfigurationProblem(field: field, expected: expected, found: found)
    }

    mutating func range(_ field: String, _ value: Int, _ range: ClosedRange<Int>) {
        guard problem == nil, !range.contains(value) else { return }
        problem = ConfigurationProblem(
            field: field,
            expected: range.lowerBound == range.upperBound
                ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)",
            found: "\(value)")
    }

    /// Not a number, infinite, zero and negative all fail.
    mutating func positive(_ field: String, _ value: Double, below limit: Double) {
        guard problem == nil, !(value > 0 && value < limit) else { return }
        problem = ConfigurationProblem(field: field, expected: "more than 0 and less than \(limit)", found: "\(value)")
    }

    /// A text that is shown to people: short, and without control characters that could reach a terminal or a log.
    mutating func label(_ field: String, _ text: String, limit: Int = 256) {
        let isClean = text.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F...0x9F).contains($0.value) }
        guard problem == nil, !(isClean && text.utf8.count <= limit) else { return }
        problem = ConfigurationProblem(
            field: field, expected: "at most \(limit) bytes without control characters",
            found: "\(text.utf8.count) bytes\(isClean ? "" : " with control characters")")
    }
}
