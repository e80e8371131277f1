<#
.SYNOPSIS
Closes Houdini's RPC ports to the network and opens the guard's port to some networks.

.DESCRIPTION
Run it as an administrator, as often as you like: the rules of the group "hrpyc-guard" are
replaced. In Windows Defender Firewall a rule that blocks wins over every rule that allows,
so the ports of Houdini stay closed even where somebody has allowed houdini.exe. Traffic of
this machine with itself is not filtered: other users who are logged on here reach Houdini.

.EXAMPLE
.\firewall.ps1 -Network 10.20.0.0/16, 2001:db8:20::/48
.EXAMPLE
.\firewall.ps1 -Network LocalSubnet -WhatIf
.EXAMPLE
.\firewall.ps1 -Remove
#>
#Requires -Version 5.1
#Requires -RunAsAdministrator
[CmdletBinding(SupportsShouldProcess, DefaultParameterSetName = 'Set')]
param(
    # Who may reach the guard: addresses, networks, ranges, or LocalSubnet.
    [Parameter(Mandatory, ParameterSetName = 'Set')]
    [ValidateNotNullOrEmpty()]
    [string[]] $Network,

    # The guard's program; the rule opens the port to nothing else.
    [Parameter(ParameterSetName = 'Set')]
    [string] $Program = "$env:ProgramFiles\hrpyc-guard\hrpyc-guard.exe",

    # Takes the rules away.
    [Parameter(Mandatory, ParameterSetName = 'Remove')]
    [switch] $Remove
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

$group = 'hrpyc-guard'
$guardPort = '18812'
$houdiniPorts = @('18811', '18813-18899')

if ($Network -contains 'Any') {
    throw 'Any would open the guard to the whole world: name networks.'
}

Get-NetFirewallRule -Group $group -ErrorAction SilentlyContinue |
    Remove-NetFirewallRule -WhatIf:$WhatIfPreference
if ($Remove) { return }

$common = @{
    Group     = $group
    Direction = 'Inbound'
    Protocol  = 'TCP'
    Profile   = 'Any'
    Enabled   = 'True'
    # It does not reach the functions of a module by itself.
    WhatIf    = $WhatIfPreference
}
New-NetFirewallRule @common -DisplayName 'Houdini RPC, past the guard (block)' `
    -LocalPort $houdiniPorts -RemoteAddress Any -Action Block | Out-Null
New-NetFirewallRule @common -DisplayName 'hrpyc-guard (allow)' `
    -LocalPort $guardPort -RemoteAddress $Network -Program $Program -Action Allow | Out-Null

# What is not allowed is blocked only where that is the default, and only while no other
# rule allows it.
Get-NetFirewallProfile -PolicyStore ActiveStore |
    Where-Object { $_.Enabled -ne 'True' -or $_.DefaultInboundAction -eq 'Allow' } |
    ForEach-Object { Write-Warning "The profile $($_.Name) lets in what no rule names: $guardPort is open there." }
Get-NetFirewallPortFilter -PolicyStore ActiveStore -Protocol TCP |
    Where-Object { $_.LocalPort -contains $guardPort } |
    Get-NetFirewallRule |
    Where-Object { $_.Group -ne $group -and $_.Enabled -eq 'True' -and $_.Direction -eq 'Inbound' -and $_.Action -eq 'Allow' } |
    ForEach-Object { Write-Warning "Another rule opens ${guardPort}: $($_.DisplayName)" }
Get-NetFirewallApplicationFilter -PolicyStore ActiveStore -Program $Program -ErrorAction SilentlyContinue |
    Get-NetFirewallRule |
    Where-Object { $_.Group -ne $group -and $_.Enabled -eq 'True' -and $_.Direction -eq 'Inbound' -and $_.Action -eq 'Allow' } |
    ForEach-Object { Write-Warning "Another rule lets everybody at the guard's program: $($_.DisplayName)" }
