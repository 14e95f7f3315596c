import ArgumentParser
import Compute
import Container
import Evaluation
import ExpertPaging
import Model

/// Models that are run here rather than served.
enum ModelOpening {
    /// - Parameters:
    ///   - memory: bytes to use at most, if that isn't for the system to say.
    ///   - share: of the memory that the system leaves; less than all when another model runs beside it.
    static func load(
        _ container: ContainerReader, contextLength: Int, cacheFormat: CacheFormat, planes: PlaneChoice? = nil,
        popularity: PopularityFile? = nil, threads: Int?, memory: Int? = nil, share: Double = 1, expertSlots: Int? = nil
    ) throws -> LoadedModel {
        let budget = AvailableMemory.current()?.budget
        let plan = try MemoryPlan(
            container: container,
            options: MemoryPlan.Options(
                memory: memory ?? (share < 1 ? budget.map { Int(Double($0) * share) } : nil), context: contextLength,
                expertSlots: expertSlots, cacheFormat: cacheFormat, planes: planes, popularity: popularity))
        for warning in plan.warnings { Terminal.complain("warning: \(warning)") }
        return try LoadedModel(
            container: container, plan: plan, threadCount: threads ?? ThreadCount.available, kernels: .selected())
    }

    /// `stories.txt, 74985 bytes, XXH3 0123456789abcdef`
    static func describe(_ text: EvaluationText.Identity) -> String {
        "\(text.name), \(text.byteCount) bytes, XXH3 \(text.checksum)"
    }
}

extension CacheFormat: ExpressibleByArgument {}
extension PlaneChoice: ExpressibleByArgument {}
