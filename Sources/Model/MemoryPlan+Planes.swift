import Container

extension MemoryPlan {
    /// Plans for experts that may have two planes. Which are used is settled with the plan, so that answers don't depend on
    /// which experts happen to be in memory.
    ///
    /// - Parameters:
    ///   - coarse: with the first planes alone.
    ///   - both: nil where the experts have one plane.
    ///   - heat: what is recorded of the experts' use.
    package init(
        coarse: ModelFootprint, both: ModelFootprint?, heat: ExpertHeat? = nil, cacheFormat: CacheFormat,
        options: Options, available: AvailableMemory?
    ) throws(ModelError) {
        func plan(_ footprint: ModelFootprint) throws(ModelError) -> MemoryPlan {
            try MemoryPlan(footprint: footprint, cacheFormat: cacheFormat, options: options, available: available)
        }
        guard let both else {
            guard options.planes == nil else {
                throw ModelError(
                    .invalidOption,
                    "planes were chosen, and the experts of this model have only one; leave --planes out, or convert the "
                        + "checkpoint with --type int8+int4")
            }
            self = try plan(coarse)
            return
        }
        switch options.planes {
        case .coarse?, .both?:
            self = try plan(options.planes == .both ? both : coarse)
            planes = options.planes == .both ? .both : .coarse
            planesReason = "as was asked for"
            return
        case .heat?:
            self = try .following(
                heat, refining: options.refinedExpertCount, coarse: coarse, both: both, planning: plan)
            return
        case nil:
            break
        }
        let fine: MemoryPlan?
        let lack: String
        do throws(ModelError) {
            let whole = try plan(both)
            lack = "with both, \(Int((100 * whole.slotFraction).rounded())) % of the experts would have room"
            fine = whole.slotCount == whole.expertCount ? whole : nil
        } catch {
            // If nothing works with the coarse planes either, that says why.
            guard error.code == .insufficientMemory else { throw error }
            lack = "with both, the model would need more memory than there is"
            fine = nil
        }
        if let fine {
            self = fine
            planes = .both
            planesReason = "every expert has room"
        } else {
            self = try plan(coarse)
            planes = .coarse
            planesReason = lack
        }
    }
}
