import Container
import ExpertPaging
import Model

extension ServedModel {
    /// Plans, and finds or makes the memory that outlives the process where there is a manager that holds it.
    ///
    /// Storage is measured where experts are to be read, unless an earlier run did that for what is kept. Notes say what the
    /// person should know of it.
    static func prepare(
        _ container: ContainerReader, _ options: MemoryPlan.Options, _ memory: KeptMemory, notes: inout [String]
    ) throws -> (plan: MemoryPlan, kept: KeptWeights?, probe: StorageProbe?) {
        if let (descriptor, claim) = memory.claim(for: container, notes: &notes) {
            do {
                if let plan = try plan(container, options, keeping: claim) {
                    return (plan, try KeptWeights(adopting: descriptor, claim), nil)
                }
                memory.letGo(of: [descriptor], because: "the plan is another one now", notes: &notes)
            } catch {
                memory.letGo(of: [descriptor], because: "\(error)", notes: &notes)
            }
        }
        let (plan, probe) = try MemoryPlan.measuringStorage(container: container, options: options)
        return (plan, memory.make(plan.keptLayout(of: container), notes: &notes), probe)
    }

    /// After a while, what was kept has proved to do no harm. Runs until it is cancelled.
    func noteThatItLasts() async throws {
        try await Task.sleep(for: KeptMemory.lastingDuration)
        kept?.noteLasting()
        while true { try await Task.sleep(for: .seconds(3600)) }
    }

    /// A plan that what is kept fits, which itself counts as available; nil if the model is planned otherwise now.
    private static func plan(
        _ container: ContainerReader, _ options: MemoryPlan.Options, keeping claim: KeptWeights.Claim
    ) throws -> MemoryPlan? {
        var options = options
        options.laneCount = claim.layout.laneCount
        options.isDirect = claim.layout.isDirect
        let available = AvailableMemory.current(kept: claim.residentByteCount, isReusing: true)
        let fresh = try MemoryPlan(container: container, options: options, available: available)
        if fresh.keptLayout(of: container) == claim.layout { return fresh }
        var same = options
        var room = available
        // What a machine has left is never twice the same: up to half of what the plan leaves to others may be missing.
        if options.memory == nil, options.expertSlots == nil, let available {
            same.expertSlots = claim.layout.slotCount
            same.context = fresh.contextLength
            room = available.adding(available.margin / 2)
        }
        // Nor does a record of use call for quite as many experts with both planes as the one before.
        if claim.layout.refinedExpertCount > 0 { same.refinedExpertCount = claim.layout.refinedExpertCount }
        let again = try? MemoryPlan(container: container, options: same, available: room)
        return again?.keptLayout(of: container) == claim.layout ? again : nil
    }
}

extension MemoryPlan {
    /// The weights' places in memory that outlives the process.
    func keptLayout(of container: ContainerReader) -> KeptWeights.Layout {
        KeptWeights.Layout(
            identity: container.indexChecksum, denseByteCount: denseByteCount, arenaByteCount: arenaByteCount,
            slotCount: slotCount, refinedExpertCount: heat?.refinedExpertCount ?? 0, laneCount: laneCount,
            isDirect: isDirect)
    }
}
