import Container
import ExpertPaging
import Generation
import Logging

extension ServedModel {
    /// What earlier runs learnt. A file that can't be used is no reason not to serve, and something to note.
    static func learnt(
        _ container: ContainerReader, in directory: String?, notes: inout [String]
    ) -> PopularityFile? {
        guard let directory, !container.experts.isEmpty else { return nil }
        do {
            return try PopularityFile.read(of: container, in: directory)
        } catch {
            notes.append("\(error)")
            return nil
        }
    }

    /// Keeps what is known of the experts' use for the next run.
    func keepPopularity(_ logger: Logger) {
        guard let popularityPath, engine.experts.shape.expertCount > 0 else { return }
        // Nothing was asked for, so what is kept already is the better knowledge.
        guard engine.experts.counters.uses > 0 else { return }
        do {
            try engine.experts.popularity.write(path: popularityPath)
        } catch {
            logger.warning("\(error)")
        }
    }

    /// Keeps it every few minutes, until cancelled: a daemon that is killed loses no more.
    func keepPopularityRegularly(_ logger: Logger) async throws {
        while true {
            try await Task.sleep(for: .seconds(300))
            keepPopularity(logger)
        }
    }
}
