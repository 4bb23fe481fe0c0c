"""How an operator configures the agent: in kube-proxy's own words, from its file or its flags.

file ──decode──►  KubeProxyConfiguration  ──check──►  ──options──►  AgentOptions
flags ──────────►  (schema)
"""
