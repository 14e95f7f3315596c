package import Container
package import ExpertPaging

extension MemoryPlan {
    /// Plans, and where not every expert gets a slot measures storage for a second and chooses by that how experts are read.
    ///
    /// `options.laneCount` and `isDirect` are what is used where nothing is measured, and where the memory is too short for
    /// more lanes.
    package static func measuringStorage(
        container: ContainerReader, options: Options
    ) throws(ModelError) -> (plan: MemoryPlan, probe: StorageProbe?) {
        let plan = try MemoryPlan(container: container, options: options)
        guard plan.slotCount < plan.expertCount else { return (plan, nil) }
        let probe: StorageProbe
        do {
            probe = try StorageProbe(container: container, planes: plan.planes ?? .coarse)
        } catch {
            throw ModelError(.unreadableExpert, "storage could not be measured", cause: error)
        }
        guard let choice = probe.choice else { return (plan, probe) }
        var chosen = options
        chosen.isDirect = choice.isDirect
        chosen.laneCount = choice.laneCount
        do {
            return (try MemoryPlan(container: container, options: chosen), probe)
        } catch {
            chosen.laneCount = options.laneCount
            return (try MemoryPlan(container: container, options: chosen), probe)
        }
    }
}
