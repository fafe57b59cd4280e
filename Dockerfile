# The server alone, for a Postgres elsewhere (DATABASE_URL). Every RUN is a plain command: the same steps work by hand in a checkout.

FROM node:24-slim AS packages
WORKDIR /app
COPY package.json package-lock.json ./
COPY proto/package.json proto/
COPY sdk-ts/package.json sdk-ts/
COPY server/package.json server/
# Optional packages are the embedded Postgres's binaries, which a server with DATABASE_URL never starts.
RUN npm ci --omit=dev --omit=optional --no-audit --no-fund

FROM node:24-slim
ENV NODE_ENV=production \
    # Beyond loopback, because a container's own loopback reaches nobody. Without credentials and TLS the server refuses this
    # address, unless ABSTRACTRUNTIME_INSECURE=on says that the network around it is private (docker-compose.yml does).
    ABSTRACTRUNTIME_LISTEN=0.0.0.0:7400
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
# The workspaces stay where the links in node_modules point: Node strips types from sources, but never inside node_modules.
COPY package.json LICENSE ./
COPY proto/package.json proto/
COPY proto/gen proto/gen
COPY sdk-ts sdk-ts
COPY server server
USER node
EXPOSE 7400
# The first start also migrates the database. With TLS, override this with a probe that speaks it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:7400/healthz').then((reply) => process.exit(reply.ok ? 0 : 1), () => process.exit(1))"]
# Node itself, not npm, so that SIGTERM reaches the server and it stops cleanly.
CMD ["node", "server/src/main.ts", "server"]
