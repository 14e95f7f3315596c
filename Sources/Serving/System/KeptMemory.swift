import CSystemd
import Container
import ExpertPaging
import Glibc
import Model
import Synchronization

/// Weights that systemd holds while the daemon restarts (its file-descriptor store), so that the next run finds them in
/// memory.
///
/// What can't be used, or has been in use when several runs in a row ended soon, is let go of.
package final class KeptMemory: Sendable {
    /// Runs that may end within `lastingDuration` before what they began with is let go of: one may be killed for any
    /// reason, but memory that is short must not be taken again and again.
    static let mostShortRuns = 3
    package static let lastingDuration = Duration.seconds(60)

    private let manager: ServiceManager
    private let inherited: Mutex<[Int32]>
    /// Whether there is a manager that may hold anything.
    let isOffered: Bool

    package init(_ descriptors: [Int32], manager: ServiceManager, environment: (String) -> String?) {
        self.manager = manager
        inherited = Mutex(descriptors)
        isOffered = environment("NOTIFY_SOCKET").map { !$0.isEmpty } ?? false
    }

    /// Nothing is kept.
    package static var none: KeptMemory { KeptMemory([], manager: ServiceManager()) { _ in nil } }

    /// What an earlier run left for this container, and its layout; nil when there is nothing, or nothing of use: then the
    /// notes say why, and systemd is told to let go of it.
    func claim(for container: ContainerReader, notes: inout [String]) -> (descriptor: Int32, KeptWeights.Claim)? {
        let descriptors = inherited.withLock { held in
            defer { held = [] }
            return held
        }
        guard let descriptor = descriptors.first else { return nil }
        do throws(PagingError) {
            guard descriptors.count == 1 else {
                throw PagingError(.badKept, "\(descriptors.count) runs left their memory, and one is expected")
            }
            let claim = try KeptWeights.claim(of: descriptor)
            guard claim.layout.identity == container.indexChecksum else {
                throw PagingError(.badKept, "what was kept is of another model")
            }
            // The unit's ExecStopPost= should have let go of it, but systemd doesn't always come to run that: after an
            // out-of-memory kill the control group may be gone already.
            guard claim.killCount == AvailableMemory.killCount() else {
                throw PagingError(.badKept, "the kernel has killed for want of memory since")
            }
            guard claim.runCount < Self.mostShortRuns else {
                throw PagingError(
                    .badKept, "the last \(claim.runCount) runs that began with what was kept ended within a minute")
            }
            return (descriptor, claim)
        } catch {
            letGo(of: descriptors, because: "\(error)", notes: &notes)
            return nil
        }
    }

    func letGo(of descriptors: [Int32], because reason: String, notes: inout [String]) {
        for descriptor in descriptors { close(descriptor) }
        manager.unstore(name: InheritedDescriptors.weightsName)
        notes.append("the weights that an earlier run left in memory are let go of: \(reason)")
    }

    /// Memory for a model's weights that outlives this run; nil where nobody would hold it.
    func make(_ layout: KeptWeights.Layout, notes: inout [String]) -> KeptWeights? {
        guard isOffered else { return nil }
        let descriptor = memfd_create("moed-weights", Self.closeOnExec | Self.allowSealing)
        guard descriptor >= 0 else {
            notes.append("a restart won't find the weights in memory: memfd_create: \(describe(errno: errno))")
            return nil
        }
        do {
            let weights = try KeptWeights(new: descriptor, layout: layout)
            weights.killCount = AvailableMemory.killCount()
            manager.store(descriptor, name: InheritedDescriptors.weightsName)
            return weights
        } catch {
            notes.append("a restart won't find the weights in memory: \(error)")
            return nil
        }
    }

    private static let closeOnExec: UInt32 = 1
    private static let allowSealing: UInt32 = 2
}
